// kleidi snapshot scan on files that a real etcd has written, with objects in
// the format of kube-apiserver, sealed through the socket of a real daemon.
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { KleidiError } from '../../src/errors.ts';
import { isUnretired } from '../../src/keyring/ring.ts';
import type { Finding } from '../../src/snapshot/judgement.ts';
import { scanSnapshot } from '../../src/snapshot/snapshot.ts';
import { apiServerObjects, clusterUid, renewedLease } from '../support/apiobjects.ts';
import { letTimePass } from '../support/changetimes.ts';
import { KmsClient } from '../support/client.ts';
import { Etcd } from '../support/etcd.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { clearObject, newSeed, sealObject } from '../support/kubestore.ts';
import { missingTool } from '../support/skip.ts';

const skip = missingTool('etcd', 'etcdctl');
const content = Buffer.from('the-secret-content');
const folder = temporaryFolder();
const host = await TestHost.provisioned();
const daemon = await host.serve();
const client = new KmsClient(host.socket);

interface Scanned {
  readonly exitCode: number | null;
  readonly text: string;
  readonly report: {
    readonly findings: readonly Finding[];
    readonly checksum: boolean;
    readonly notOpenable: number;
    readonly secretsInClear: number;
    readonly highestGeneration: number;
    readonly prefix: string;
    readonly clusterUid: string | null;
    readonly newestLease: string | null;
    readonly unreadableLeases: number;
    readonly verification: {
      readonly seeds: number;
      readonly objects: number;
      readonly failures: readonly { example: string; why: string }[];
    } | null;
  };
}

async function scan(file: string, ...args: string[]): Promise<Scanned> {
  const { exitCode, stdout, stderr } = await host.run('snapshot', 'scan', file, '--json', ...args);
  assert.notEqual(stdout, '', stderr);
  return { exitCode, text: stdout + stderr, report: JSON.parse(stdout) };
}

function lines(findings: readonly Finding[]): string[] {
  return findings.map(
    ({ resource, kind, provider, live, older, seeds, obstacle }) =>
      `${resource} ${kind} ${provider} ${live}+${older} ${seeds} ${obstacle ?? 'opens'}`,
  );
}

test('what etcd holds is listed by resource, provider and key id, and opened by --verify', {
  skip,
}, async () => {
  const etcd = await Etcd.start(join(folder, 'a'));
  const seeds = await Promise.all([1, 2, 3].map(() => newSeed(client)));
  const sealed = Array.from({ length: 300 }, (_, i) => {
    const size = i === 7 ? randomBytes(300_000) : content;
    return sealObject(`/registry/secrets/ns/s${i}`, size, seeds[i % 3] ?? assert.fail());
  });
  await etcd.put(...sealed);
  const [first = assert.fail()] = seeds;
  await etcd.put(sealObject('/registry/example.com/things/ns/t', content, first));
  await etcd.put(
    clearObject('/registry/services/endpoints/ns/e'),
    clearObject('/registry/apps.example/x/ns/y'),
  );
  // s0 is rewritten twice, s1 is deleted, s2 is deleted and made again.
  await etcd.put(sealObject('/registry/secrets/ns/s0', content, first));
  await etcd.put(sealObject('/registry/secrets/ns/s0', content, first));
  await etcd.delete('/registry/secrets/ns/s1');
  await etcd.delete('/registry/secrets/ns/s2');
  await etcd.put(sealObject('/registry/secrets/ns/s2', content, first));
  await etcd.put(['compact_rev_key', Buffer.from('17')]);
  const file = etcd.snapshot(join(folder, 'a.db'));
  const before = statSync(file);

  const expected = [
    '(not of kube-apiserver) clear  1+0 0 opens',
    'endpoints clear  1+0 0 opens',
    'secrets kms-v2 kleidi 299+4 3 opens',
    'things.example.com kms-v2 kleidi 1+0 1 opens',
    'x.apps.example clear  1+0 0 opens',
  ];
  const { exitCode, text, report } = await scan(file, '--verify');
  assert.equal(exitCode, 0);
  assert.deepEqual(lines(report.findings), expected);
  assert.deepEqual(
    [report.checksum, report.notOpenable, report.secretsInClear, report.highestGeneration],
    [true, 0, 0, 1],
  );
  assert.deepEqual(report.verification, { seeds: 3, objects: 3, failures: [], elsewhere: 0 });
  assert.ok(!text.includes(content.toString()) && !text.includes(content.toString('base64')));
  const after = statSync(file);
  assert.deepEqual([after.mtimeMs, after.ino], [before.mtimeMs, before.ino], 'read-only');

  // The data file of etcd says the same once it has stopped; compaction drops what is old.
  await etcd.compact();
  await etcd.stop();
  const live = await scan(etcd.dataFile);
  assert.equal(live.report.checksum, false);
  assert.ok(lines(live.report.findings).includes('secrets kms-v2 kleidi 299+0 3 opens'));
});

test('what the ring cannot open is exit 1 with the reason; Secrets in clear are a warning', {
  skip,
}, async () => {
  const etcd = await Etcd.start(join(folder, 'b'));
  const seed = await newSeed(client);
  const other = await newSeed(client);
  const [fp = ''] = host.ring.keks.map((kek) => kek.fp);
  const key = (name: string): string => `/registry/secrets/ns/${name}`;
  const swapped = Buffer.from(seed.ciphertext);
  swapped.fill(0xab, 4, 20);
  await etcd.put(
    clearObject(key('clear')),
    sealObject(key('good'), content, seed),
    sealObject(key('vault'), content, { ...seed, keyId: 'vault-key-1' }, 'vault'),
    sealObject(key('foreign'), content, { ...seed, keyId: `k1.dev.9.${fp}` }),
    sealObject(key('unknown'), content, { ...seed, keyId: `k1.test.4.${'ab'.repeat(16)}` }),
    sealObject(key('swapped'), content, { ...seed, ciphertext: swapped }),
    sealObject(key('nokl'), content, { ...seed, ciphertext: randomBytes(80) }),
    [key('aes'), Buffer.from('k8s:enc:aescbc:v1:key1:xxxxxxxx')],
    [key('kms1'), Buffer.from('k8s:enc:kms:v1:old:xxxxxxxx')],
    [
      key('torn'),
      Buffer.concat([Buffer.from('k8s:enc:kms:v2:kleidi:'), Buffer.from([0x0a, 0x7f, 1])]),
    ],
  );
  const { exitCode, report } = await scan(etcd.snapshot(join(folder, 'b.db')));
  assert.equal(exitCode, 1);
  assert.deepEqual(
    [report.notOpenable, report.secretsInClear, report.highestGeneration],
    [8, 1, 4],
  );
  const why = new Map(
    report.findings.map((each) => [each.example.replace(/.*\//, ''), each.obstacle]),
  );
  assert.equal(why.get('good'), null);
  assert.equal(why.get('clear'), null);
  for (const [name, reason] of [
    ['vault', /not one of kleidi/],
    ['foreign', /of ring 'dev'/],
    ['unknown', /not in the ring/],
    ['swapped', /name different KEKs/],
    ['nokl', /was not made by kleidi/],
    ['aes', /sealed by aescbc/],
    ['kms1', /sealed by kms v1/],
    ['torn', /damaged/],
  ] as const) {
    assert.match(why.get(name) ?? '', reason, name);
  }
  const people = await host.run('snapshot', 'scan', join(folder, 'b.db'));
  assert.match(people.stdout, /NO: the KEK is not in the ring of this host; for example .*unknown/);
  assert.match(people.stderr, /1 Secrets are in clear[\s\S]*could not open 8 objects/);

  // Only --verify can tell that a tag is wrong, or that an object is not of its seed.
  const flipped = Buffer.from(other.ciphertext);
  flipped.writeUInt8(flipped.readUInt8(79) ^ 1, 79);
  for (const name of ['vault', 'foreign', 'unknown', 'swapped', 'nokl', 'aes', 'kms1', 'torn']) {
    await etcd.delete(key(name));
  }
  const [, moved] = sealObject(key('elsewhere'), content, other);
  await etcd.put(sealObject(key('flip'), content, { ...seed, ciphertext: flipped }), [
    key('moved'),
    moved,
  ]);
  await etcd.compact();
  const file = etcd.snapshot(join(folder, 'b2.db'));
  assert.equal((await scan(file)).exitCode, 0);
  const verified = await scan(file, '--verify');
  assert.equal(verified.exitCode, 1);
  const failed = verified.report.verification?.failures.map(({ example }) => example).sort();
  assert.deepEqual(failed, [key('flip'), key('moved')]);
  assert.match(JSON.stringify(verified.report.verification), /the seed opens, the object does not/);
});

test('another --etcd-prefix is named by --prefix', { skip }, async () => {
  const etcd = await Etcd.start(join(folder, 'c'));
  await etcd.put(sealObject('/kubernetes.io/secrets/ns/a', content, await newSeed(client)));
  const file = etcd.snapshot(join(folder, 'c.db'));
  const named = await scan(file, '--prefix', '/kubernetes.io');
  assert.deepEqual(lines(named.report.findings), ['secrets kms-v2 kleidi 1+0 1 opens']);
  const unnamed = await scan(file);
  assert.deepEqual(lines(unnamed.report.findings), [
    '(not of kube-apiserver) kms-v2 kleidi 1+0 1 opens',
  ]);
});

test('the scan tells of which cluster a snapshot is, and how old', { skip }, async () => {
  const etcd = await Etcd.start(join(folder, 'origin'));
  const unixMs = Date.parse('2026-03-01T10:00:00.678Z');
  const json = (kind: string, rest: object): Buffer =>
    Buffer.from(JSON.stringify({ kind, ...rest }));
  const read = async (...args: string[]) => {
    const file = etcd.snapshot(join(folder, 'origin.db'));
    const { report } = await scan(file, ...args);
    const { prefix, clusterUid: uid, newestLease, unreadableLeases } = report;
    return [prefix, uid, newestLease, unreadableLeases];
  };
  assert.deepEqual(await read(), ['/registry', null, null, 0]);
  await etcd.put(...apiServerObjects(unixMs));
  await etcd.put(
    renewedLease(unixMs - 60_000, '/registry', 'b'),
    ['/registry/leases/kube-system/kube-scheduler', renewedLease(unixMs + 1e6)[1]],
    ['/registry/leases/default/apiserver-x', renewedLease(unixMs + 1e6)[1]],
  );
  const newest = '2026-03-01T10:00:00.678Z';
  assert.deepEqual(await read(), ['/registry', clusterUid, newest, 0]);
  assert.deepEqual(await read('--prefix', 'mine/'), ['/mine', null, null, 0]);
  const text = await host.run('snapshot', 'scan', join(folder, 'origin.db'));
  assert.match(text.stdout, new RegExp(`kube-system.: ${clusterUid}, under /registry`));

  // A lease that has said something may go; a namespace may not. Sealed is not missing.
  await etcd.delete('/registry/namespaces/kube-system');
  await etcd.delete('/registry/leases/kube-system/apiserver-a');
  const key = '/registry/leases/kube-system/apiserver-b';
  await etcd.put(sealObject(key, content, await newSeed(client)));
  assert.deepEqual(await read(), ['/registry', null, newest, 1]);

  await etcd.put(
    ['/registry/namespaces/kube-system', json('Namespace', { metadata: { uid: clusterUid } })],
    [key, json('Lease', { spec: { renewTime: '2026-03-01T11:00:00.123456Z' } })],
  );
  assert.deepEqual(await read(), ['/registry', clusterUid, '2026-03-01T11:00:00.123Z', 0]);
});

test('a damaged, foreign or cut file is a clear error, wherever it is damaged', {
  skip,
}, async () => {
  const etcd = await Etcd.start(join(folder, 'd'));
  const seed = await newSeed(client);
  await etcd.put(
    ...Array.from({ length: 400 }, (_, i) =>
      sealObject(`/registry/secrets/ns/${i}`, content, seed),
    ),
  );
  const file = etcd.snapshot(join(folder, 'd.db'));
  const whole = readFileSync(file);
  const refused = async (name: string, bytes: Buffer, reason: RegExp): Promise<void> => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    const { exitCode, stdout, stderr } = await host.run('snapshot', 'scan', path);
    assert.equal(exitCode, 1, name);
    assert.equal(stdout, '', name);
    assert.match(stderr, reason, name);
    assert.match(stderr, /hint: take a new one/, name);
  };
  const flip = Buffer.from(whole);
  flip.writeUInt8(flip.readUInt8(9_000) ^ 1, 9_000);
  await refused('flip', flip, /checksum at its end does not match/);
  await refused('cut', whole.subarray(0, whole.length - 4_096 - 32), /cut short/);
  await refused('empty', Buffer.alloc(0), /it is empty/);
  await refused('text', Buffer.from('not a database'.repeat(1_000)), /no bbolt file/);
  await refused('gz', Buffer.concat([Buffer.from([0x1f, 0x8b]), whole]), /compressed/);
  await refused('zip', Buffer.concat([Buffer.from('PK\x03\x04'), whole]), /zip archive/);
  const headless = whole.subarray(0, -32);
  const meta = Buffer.from(headless).fill(0, 0, 8_192);
  await refused('meta', meta, /both its meta pages are damaged/);
  const missing = await host.run('snapshot', 'scan', join(folder, 'none'));
  assert.match(missing.stderr, /ENOENT[\s\S]*hint/);

  // One meta page is enough.
  const half = Buffer.from(headless).fill(0, 0, 4_096);
  writeFileSync(join(folder, 'half'), half);
  assert.equal((await host.run('snapshot', 'scan', join(folder, 'half'))).exitCode, 0);
  await daemon.stop();
});

test('key destroy --scan refuses for an object and for its earlier states', { skip }, async () => {
  const own = await TestHost.provisioned();
  const serving = await own.serve();
  const writer = new KmsClient(own.socket);
  const run = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await own.run(...args);
    assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  const fp = own.ring.keks[0]?.fp ?? '';
  const etcd = await Etcd.start(join(folder, 'e'));
  const key = '/registry/secrets/ns/a';
  await etcd.put(sealObject(key, content, await newSeed(writer)));
  const next = JSON.parse(await run('key', 'create', '--json')) as { fp: string };
  await run('key', 'promote', next.fp);
  await run('key', 'retire', fp);
  letTimePass(own.ringPath);
  await etcd.put(...apiServerObjects(Date.now()));
  const destroy = (name: string) =>
    own.run(
      ...['key', 'destroy', fp, '--yes', '--cluster', clusterUid],
      ...['--scan', etcd.snapshot(join(folder, name))],
    );
  const live = await destroy('e1.db');
  assert.equal(live.exitCode, 1);
  assert.match(live.stderr, /holds 1 objects under KEK/);
  await etcd.put(sealObject(key, content, await newSeed(writer)));
  const older = await destroy('e2.db');
  assert.equal(older.exitCode, 1);
  assert.match(older.stderr, /1 earlier states of objects[\s\S]*compaction/);
  assert.equal(own.ring.keks.length, 2);
  await etcd.compact();
  const gone = await destroy('e3.db');
  assert.equal(gone.exitCode, 0, gone.stderr);
  assert.deepEqual(
    own.ring.keks.filter(isUnretired).map((kek) => kek.fp),
    [next.fp],
  );
  await serving.stop();
});

test('whatever bytes are wrong, the scan ends, with its result or as damage', {
  skip,
}, async () => {
  const whole = readFileSync(join(folder, 'd.db')).subarray(0, -32);
  const path = join(folder, 'fuzzed');
  const outcomes = { good: 0, damaged: 0 };
  for (let i = 0; i < 400; i += 1) {
    const bytes = Buffer.from(whole);
    // Most of it is objects; headers and the first elements of a page matter more.
    const page = 4_096 * randomInt(whole.length / 4_096);
    const at = i % 4 === 0 ? randomInt(whole.length - 8) : page + randomInt(80);
    randomBytes(i % 3 === 0 ? 8 : 1).copy(bytes, at);
    writeFileSync(path, bytes);
    try {
      await scanSnapshot(path);
      outcomes.good += 1;
    } catch (error) {
      assert.equal(KleidiError.from(error).code, 'snapshot-invalid', String(error));
      outcomes.damaged += 1;
    }
  }
  assert.ok(outcomes.good > 0 && outcomes.damaged > 20, JSON.stringify(outcomes));
});
