// `kleidi provision`: once, twice, killed at any moment, and where a part of an
// earlier run was lost.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { firstModule } from '../../src/softhsm.ts';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { program } from '../support/kleidi.ts';
import { plantKey, tokenObjects } from '../support/tokenobjects.ts';

/**
 * Every file of the host with its contents, but for lock files and token.object:
 * SoftHSM writes that one again at every login.
 */
function snapshot(host: TestHost): Record<string, string> {
  const files = readdirSync(host.folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.lock$|^token\.object$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    files.map((file) => [file, createHash('sha256').update(readFileSync(file)).digest('hex')]),
  );
}

function mode(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

test('the EncryptionConfiguration that the package writes does not make a bare host one that has lost its keys', async () => {
  const host = await TestHost.provisioned();
  await host.run('apiserver', 'config', '--write');
  rmSync(join(host.folder, 'state'), { recursive: true });
  for (const pin of ['pin', 'so-pin']) rmSync(join(host.folder, pin));
  const { exitCode, stderr } = await host.run('provision', '--token-only', '--ring', 'prod');
  assert.equal(exitCode, 0, stderr);
  assert.equal(host.ring.ring, 'prod');
});

test('a bare host gets PINs, token, ring and one write KEK, and a second run changes nothing', async () => {
  const host = new TestHost();
  const first = await host.run('provision', '--ring', 'prod', '--json');
  assert.equal(first.exitCode, 0, first.stderr);
  const { fp, keyId, changed } = JSON.parse(first.stdout) as Record<string, unknown>;
  assert.equal(keyId, `k1.prod.1.${fp}`);
  assert.equal(changed, true);
  assert.deepEqual(
    host.ring.keks.map((kek) => kek.state),
    ['write'],
  );
  assert.equal(mode(host.ringPath), '640');
  assert.equal(mode(host.pinPath), '400');
  assert.equal(mode(host.tokens), '700');
  assert.ok(host.pin.length >= 32);
  assert.notEqual(host.pin, readFileSync(join(host.folder, 'so-pin'), 'utf8'));

  const before = snapshot(host);
  const second = await host.run('provision', '--ring', 'prod');
  assert.equal(second.exitCode, 0, second.stderr);
  assert.match(second.stdout, /already provisioned/);
  assert.deepEqual(snapshot(host), before);
  assert.equal((await host.run('provision', '--ring', 'other')).exitCode, 1);
  assert.deepEqual(snapshot(host), before);
});

test('--token-only makes a ring at generation 0 without a KEK', async () => {
  const host = new TestHost();
  assert.equal((await host.run('provision', '--token-only')).exitCode, 0);
  assert.equal(host.ring.generation, 0);
  assert.deepEqual(host.ring.keks, []);
});

const losses: readonly (readonly [string, (host: TestHost) => void])[] = [
  ['the ring file', (host) => rmSync(host.ringPath)],
  ['the token', (host) => rmSync(host.tokens, { recursive: true })],
  [
    'the PINs',
    (host) => {
      for (const pin of ['pin', 'so-pin']) rmSync(join(host.folder, pin));
    },
  ],
  [
    'the ring file and the record',
    (host) => {
      rmSync(host.ringPath);
      rmSync(join(host.folder, 'state/provision.json'));
    },
  ],
  [
    'all but the EncryptionConfiguration',
    (host) => {
      rmSync(join(host.folder, 'state'), { recursive: true });
      writeFileSync(join(host.folder, 'encryption-config.yaml'), 'kms: { name: kleidi }');
    },
  ],
  [
    'the machine: the disk is a copy',
    (host) => {
      const path = join(host.folder, 'state/provision.json');
      const record = JSON.parse(readFileSync(path, 'utf8')) as object;
      writeFileSync(path, JSON.stringify({ ...record, machine: '0'.repeat(64) }));
    },
  ],
];

for (const [what, lose] of losses) {
  test(`where ${what} was lost it refuses, changes nothing and names the way back`, async () => {
    const host = await TestHost.provisioned();
    lose(host);
    const before = snapshot(host);
    const { exitCode, stderr } = await host.run('provision');
    assert.equal(exitCode, 1);
    assert.match(stderr, /^kleidi: error: .+\nkleidi: hint: .+/m);
    assert.deepEqual(snapshot(host), before);
  });
}

/** kill -9 to the whole process group, `ms` after its start. */
async function killProvision(host: TestHost, ms: number): Promise<void> {
  const args = [program, 'provision', '--ring', 'test', '--config', host.configPath];
  const child = spawn(process.execPath, args, { detached: true, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await Promise.race([sleep(ms), ended]);
  if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  await ended;
}

test('killed at any moment it can be run again and ends with one KEK that serves', async (t) => {
  const moments = Array.from({ length: 26 }, (_, i) => 40 + i * 20);
  for (const ms of moments) {
    const host = new TestHost();
    await killProvision(host, ms);
    const again = await host.run('provision', '--ring', 'test');
    assert.equal(again.exitCode, 0, `killed after ${ms} ms: ${again.stderr}`);
    const [write, ...more] = host.ring.keks;
    assert.equal(write?.state, 'write', `killed after ${ms} ms`);
    assert.deepEqual(more, []);
    const { stdout } = await host.run('key', 'list', '--json');
    const listed = JSON.parse(stdout) as { fp: string; held: boolean; state: string | null }[];
    assert.deepEqual(
      listed.map((kek) => [kek.fp, kek.held, kek.state]),
      [[write.fp, true, 'write']],
    );
  }
  t.diagnostic(`killed at ${moments.length} moments from ${moments[0]} to ${moments.at(-1)} ms`);
});

test('a run without a KEK that was stopped goes on under the name that is given then', async () => {
  const host = new TestHost();
  // A file where the folder of tokens belongs.
  mkdirSync(dirname(host.tokens), { recursive: true });
  writeFileSync(host.tokens, '');
  assert.equal((await host.run('provision', '--token-only')).exitCode, 1);
  assert.match(readFileSync(join(host.folder, 'state/provision.json'), 'utf8'), /"done": false/);
  rmSync(host.tokens);
  const { exitCode, stderr } = await host.run('provision', '--token-only', '--ring', 'prod');
  assert.equal(exitCode, 0, stderr);
  assert.equal(host.ring.ring, 'prod');
});

test('what a resumed provision has made serves', async () => {
  const host = new TestHost();
  await killProvision(host, 250);
  assert.equal((await host.run('provision', '--ring', 'test')).exitCode, 0);
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const { ciphertext, keyId } = await client.encrypt(Buffer.alloc(32, 5));
  assert.deepEqual(await client.decrypt(ciphertext, keyId), Buffer.alloc(32, 5));
  await daemon.stop();
});

test('a key that is in the token already is never taken for the cluster’s KEK', async () => {
  // By another name SoftHSM is any HSM: only the module can tell what the token holds.
  const host = new TestHost();
  const module = join(host.folder, 'libsomehsm.so');
  copyFileSync(firstModule(), module);
  const settings = { pkcs11: { module } };
  assert.equal((await host.run('provision', '--token-only', '--ring', 'test')).exitCode, 0);
  await plantKey(host, 'database backup key');
  for (const name of ['ring.json', 'provision.json']) rmSync(join(host.folder, 'state', name));
  host.configure(settings);

  const objects = await tokenObjects(host);
  const { exitCode, stderr } = await host.run('provision', '--ring', 'test');
  assert.equal(exitCode, 1, stderr);
  assert.match(stderr, /holds 1 AES keys that the ring does not name.*'database backup key'/);
  assert.deepEqual(host.ring.keks, []);
  assert.equal(host.ring.generation, 0);
  assert.deepEqual(await tokenObjects(host), objects);
});

test('a ring without a KEK takes another name, and a first KEK once it is named; one with a KEK keeps both', async () => {
  const host = new TestHost();
  const provision = (...args: string[]) => host.run('provision', ...args);
  assert.equal((await provision('--token-only')).exitCode, 0);
  assert.deepEqual([host.ring.ring, host.ring.generation], ['kleidi', 0]);
  // As a package does it again, or an operator who names nothing: still no KEK.
  for (const args of [[], ['--token-only'], ['--token-only', '--ring', 'kleidi']]) {
    const again = await provision(...args);
    assert.equal(again.exitCode, 0, again.stderr);
    assert.match(again.stdout, /nothing changed/);
  }
  assert.equal((await provision('--token-only', '--ring', 'prod')).exitCode, 0);
  assert.deepEqual([host.ring.ring, host.ring.keks.length], ['prod', 0]);
  assert.match((await provision('--token-only', '--ring', 'prod')).stdout, /nothing changed/);
  const first = await provision('--ring', 'prod');
  assert.equal(first.exitCode, 0, first.stderr);
  assert.deepEqual([host.ring.ring, host.ring.generation, host.ring.keks.length], ['prod', 1, 1]);
  const renamed = await provision('--ring', 'dev');
  assert.equal(renamed.exitCode, 1);
  assert.match(renamed.stderr, /provisioned for ring 'prod', not 'dev'/);
  assert.match((await provision('--ring', 'prod')).stdout, /nothing changed/);
});
