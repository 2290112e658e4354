// The drills of docs/operations.md, command by command: everything is lost but
// backup, recovery key and an etcd snapshot; a fourth host joins; a host has
// slept through two rotations.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  createFor,
  good,
  importInto,
  makeRecovery,
  recoveryBundles,
  requestOf,
  rewrapInto,
  tokenOnlyHost,
} from '../support/ceremony.ts';
import { KmsClient } from '../support/client.ts';
import { Etcd } from '../support/etcd.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { kleidi } from '../support/kleidi.ts';
import { newSeed, sealObject } from '../support/kubestore.ts';
import { passphrase } from '../support/recoveryset.ts';
import { missingTool } from '../support/skip.ts';

const offline = temporaryFolder();
const recovery = await makeRecovery(offline);
const content = Buffer.from('what must not be lost');
let files = 0;

async function adoptRing(to: TestHost, from: TestHost): Promise<void> {
  const file = join(offline, `ring-${files++}`);
  await good(from, 'ring', 'export', '--out', file);
  const digest = (await good(from, 'ring', 'digest')).trim();
  await good(to, 'ring', 'adopt', file, '--expect', digest);
}

test('from nothing, several hosts: one bundle made of the backup, above all generations', async () => {
  const lost = await tokenOnlyHost();
  const made = await createFor(lost, [], recovery);
  await good(lost, 'key', 'promote', made.fp);
  const backup = join(offline, `backup-${files++}.json`);
  const digest = (await good(lost, 'backup', '--out', backup)).split('\n')[1] ?? '';
  const hosts = await Promise.all([tokenOnlyHost(), tokenOnlyHost()]);
  const requests = await Promise.all(hosts.map((host) => requestOf(host)));
  const rewrap = (...more: string[]) =>
    kleidi(
      [
        ...['recovery', 'rewrap', backup, '--key', recovery.key, '--passphrase-fd', '0'],
        ...requests.flatMap(({ named }) => ['--for', named]),
        ...more,
      ],
      { input: passphrase },
    );
  const from = ['--ring', backup, '--expect', digest, '--all-lost'];
  const out = join(offline, `all-${files++}.bundle`);
  for (const [reason, ...more] of [
    [/generation 1 is not above 1/, ...from, '--generation', '1', '--out', out],
    [/--generation/, ...from, '--out', out],
    [/--all-lost without --ring/, '--all-lost', '--generation', '5', '--out', out],
    [
      /not the expected ring/,
      ...from.with(3, `sha256:${'0'.repeat(64)}`),
      '--generation',
      '5',
      '--out',
      out,
    ],
  ] as const) {
    const refused = await rewrap(...more);
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stderr, reason);
    assert.ok(!existsSync(out));
  }
  const { exitCode, stdout, stderr } = await rewrap(...from, '--generation', '5', '--out', out);
  assert.equal(exitCode, 0, stderr);
  const [, result = ''] = /kleidi join \S+ --expect (\S+)/.exec(stdout) ?? [];
  for (const host of hosts) {
    await good(host, 'join', out, '--expect', result, '--recovery', recovery.pub);
    assert.deepEqual([host.ring.generation, host.ring.keks.length], [5, 1]);
    assert.equal((await good(host, 'ring', 'digest')).trim(), result);
  }
  const tested = ['recovery', 'test', backup, '--key', recovery.key, '--passphrase-fd', '0'];
  const whole = await kleidi([...tested, '--ring', backup, '--expect', digest], {
    input: passphrase,
  });
  assert.equal(whole.exitCode, 0, whole.stderr);
});

test('from nothing: backup, recovery key and snapshot make a host that opens everything', {
  skip: missingTool('etcd', 'etcdctl'),
}, async () => {
  const host = new TestHost();
  const named = `${recovery.pub}=${recovery.sha256}`;
  await good(host, 'provision', '--ring', 'prod', '--recovery', named);
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const etcd = await Etcd.start(join(offline, 'etcd'));
  const write = async (name: string): Promise<void> => {
    await etcd.put(sealObject(`/registry/secrets/ns/${name}`, content, await newSeed(client)));
  };
  await write('first');
  const { fp } = await createFor(host, [], recovery);
  await good(host, 'key', 'promote', fp);
  await write('second');
  const backup = join(offline, 'backup.json');
  const digest = (await good(host, 'backup', '--out', backup)).split('\n')[1] ?? '';
  // After the backup the ring went on: its generation alone must not be trusted.
  const first = host.ring.keks.find((kek) => kek.fp !== fp)?.fp ?? '';
  await good(host, 'key', 'promote', first);
  await write('third');
  const snapshot = etcd.snapshot(join(offline, 'etcd.db'));
  client.close();
  await daemon.stop();
  for (const name of ['state', 'run', 'pin', 'so-pin', 'kleidi.yaml', 'softhsm2.conf']) {
    rmSync(join(host.folder, name), { recursive: true });
  }

  const restore = ['restore', backup, '--expect', digest];
  await good(host, ...restore, '--config-only');
  await good(host, 'provision', '--token-only', '--ring', 'prod');
  const scanned = await host.run('snapshot', 'scan', snapshot, '--json');
  const { highestGeneration, notOpenable } = JSON.parse(scanned.stdout) as Record<string, number>;
  assert.deepEqual([scanned.exitCode, highestGeneration, notOpenable], [1, 3, 3]);
  const generation = String(Number(highestGeneration) + 1);
  await good(host, ...restore, '--generation', generation, '--all-lost');
  const again = await host.serve();
  await rewrapInto(host, recoveryBundles(host), recovery);
  const restored = new KmsClient(host.socket);
  await again.event('serving');
  assert.equal((await restored.status()).keyId, `k1.prod.4.${fp}`, 'never announced before');
  await good(host, 'status');
  const verified = JSON.parse(await good(host, 'snapshot', 'scan', snapshot, '--verify', '--json'));
  assert.deepEqual(verified.verification, { seeds: 3, objects: 3, failures: [], elsewhere: 0 });
  await again.stop();
});

test('a fourth host joins, and one that slept through two rotations comes back', async () => {
  const [a, b, c] = [await tokenOnlyHost(), await tokenOnlyHost(), await tokenOnlyHost()];
  const seed = randomBytes(32);
  const rotate = async (awake: TestHost[], generation: string): Promise<void> => {
    const requests = [];
    for (const host of awake.slice(1)) requests.push(await requestOf(host));
    const made = await createFor(a, requests, recovery);
    for (const host of awake.slice(1)) await importInto(host, made);
    for (const host of awake) {
      await good(host, 'key', 'promote', made.fp, '--generation', generation);
    }
  };
  await rotate([a, b, c], '1');
  const daemon = await a.serve();
  const client = new KmsClient(a.socket);
  const sealed = [await client.encrypt(seed)];
  for (const generation of ['2', '3']) {
    await rotate([a, b], generation);
    sealed.push(await client.encrypt(seed));
  }
  const d = await tokenOnlyHost();
  for (const late of [c, d]) {
    const lateDaemon = await late.superviseServe();
    await rewrapInto(late, recoveryBundles(a), recovery);
    await adoptRing(late, a);
    assert.deepEqual(
      await good(late, 'ring', 'digest', '--live'),
      await good(a, 'ring', 'digest', '--live'),
    );
    const lateClient = new KmsClient(late.socket);
    for (const { ciphertext, keyId } of sealed) {
      assert.deepEqual(await lateClient.decrypt(ciphertext, keyId), seed);
    }
    lateClient.close();
    await lateDaemon.stop();
  }
  await daemon.stop();
});
