// The ring file changes under a running daemon, also with the token folder
// read-only to it, and two hosts whose labels are the same.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { promote } from '../../src/keyring/transitions.ts';
import { KmsClient, type Status } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { createKek, putRing, statusOnce } from '../support/servedring.ts';

const seed = randomBytes(32);

const once = (client: KmsClient, good: (status: Status) => boolean): Promise<Status> =>
  statusOnce(client, good, 5_000);

test('a promotion is noticed within a second, old data still opens, Encrypt agrees with Status', async () => {
  const host = await TestHost.provisioned();
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const old = await client.encrypt(seed);
  const fp = await createKek(host);
  putRing(host, promote(host.ring, fp, 2));
  const status = await once(client, ({ keyId }) => keyId !== old.keyId);
  assert.equal(status.keyId, `k1.test.2.${fp}`);
  assert.equal((await client.encrypt(seed)).keyId, status.keyId);
  assert.deepEqual(await client.decrypt(old.ciphertext, old.keyId), seed);

  // Rollback is a promotion under a higher generation; an older ring is refused.
  const before = host.ring;
  const first = before.keks.find((kek) => kek.fp !== fp)?.fp ?? '';
  putRing(host, promote(before, first, 3));
  await once(client, ({ keyId }) => keyId === `k1.test.3.${first}`);
  const from = daemon.lines.length;
  putRing(host, before);
  await daemon.event('ring-refused', from);
  assert.equal((await client.status()).keyId, `k1.test.3.${first}`);
  await daemon.stop();
});

test('a corrupt or missing ring does not stop what is served, nor the start', async () => {
  const host = await TestHost.provisioned();
  const good = host.ring;
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const sealed = await client.encrypt(seed);
  putRing(host, '{ torn');
  await daemon.event('ring-refused');
  const degraded = await host.run('status');
  assert.equal(degraded.exitCode, 1);
  assert.match(degraded.stdout, /^degraded: .*ring on disk is not what it serves/);
  assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
  await daemon.stop();

  rmSync(host.ringPath);
  const again = await host.serve();
  const late = new KmsClient(host.socket);
  await assert.rejects(late.status(), /the ring file is missing/);
  putRing(host, good);
  await once(late, ({ healthz }) => healthz === 'ok');
  assert.deepEqual(await late.decrypt(sealed.ciphertext, sealed.keyId), seed);
  await again.stop();
});

test('a KEK whose check is another one is not used, and a running daemon keeps to what it has', async () => {
  const host = await TestHost.provisioned();
  const forged = {
    ...host.ring,
    keks: host.ring.keks.map((kek) => ({ ...kek, check: '0f'.repeat(16) })),
  };
  const good = host.ring;
  const first = await host.serve();
  const client = new KmsClient(host.socket);
  const sealed = await client.encrypt(seed);
  putRing(host, forged);
  await first.event('ring-refused');
  assert.match((await host.run('status')).stdout, /is another key there than here/);
  assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
  await first.stop();

  const second = await host.serve();
  await assert.rejects(client.status(), /this host holds another key under this KEK/);
  await assert.rejects(client.decrypt(sealed.ciphertext, sealed.keyId), /another key/);
  putRing(host, good);
  assert.equal((await once(client, ({ healthz }) => healthz === 'ok')).keyId, sealed.keyId);
  await second.stop();
});

test('a KEK that this host lacks makes healthz a sentence while writes go on', async () => {
  const host = await TestHost.provisioned();
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const { keks } = host.ring;
  const foreign = {
    fp: 'ab'.repeat(16),
    check: 'cd'.repeat(16),
    state: 'read',
    provider: 'pkcs11',
    recovery: null,
  } as const;
  putRing(host, { ...host.ring, keks: [...keks, { ...foreign, created: '2026-01-01T00:00:00Z' }] });
  const status = await once(client, ({ healthz }) => healthz !== 'ok');
  assert.match(status.healthz, /lacks KEK (ab)+/);
  assert.equal((await client.encrypt(seed)).keyId, status.keyId);
  assert.equal((await host.run('status')).exitCode, 1);
  await daemon.stop();
});

test('a second token with the same ring name and label has another key id and refuses the first', async () => {
  const [a, b] = [await TestHost.provisioned(), await TestHost.provisioned()];
  const [one, two] = [await a.serve(), await b.serve()];
  const sealed = await new KmsClient(a.socket).encrypt(seed);
  const other = new KmsClient(b.socket);
  assert.notEqual((await other.status()).keyId, sealed.keyId);
  await assert.rejects(other.decrypt(sealed.ciphertext, sealed.keyId), {
    code: 5,
    details: /is not in ring 'test' on this host/,
  });
  await Promise.all([one.stop(), two.stop()]);
});

test('with the token folder read-only a new KEK arrives by a restart on the held socket', async (t) => {
  const host = await TestHost.provisioned();
  const uid = 65_534;
  const { spawnSync } = await import('node:child_process');
  if (process.getuid?.() !== 0) return t.skip('needs root, to serve as another user');
  // The daemon runs as nobody: it may read the token, and write only its runtime folder.
  spawnSync('chmod', ['-R', 'a+rX', host.folder]);
  spawnSync('chmod', ['0777', host.folder, `${host.folder}/run`]);
  spawnSync('chown', [`${uid}`, host.pinPath]);
  spawnSync('chmod', ['0400', host.pinPath]);
  const daemon = await host.superviseServe({ asUser: uid });
  const client = new KmsClient(host.socket);
  const old = await client.encrypt(seed);
  const fp = await createKek(host);
  spawnSync('chmod', ['-R', 'a+rX', host.tokens]);
  const firstPid = daemon.pid;
  putRing(host, promote(host.ring, fp, 2));
  spawnSync('chmod', ['a+r', host.ringPath]);
  const status = await once(client, ({ keyId }) => keyId === `k1.test.2.${fp}`);
  t.diagnostic(`restarted for the new KEK: ${daemon.pid !== firstPid}`);
  assert.equal((await client.encrypt(seed)).keyId, status.keyId);
  assert.deepEqual(await client.decrypt(old.ciphertext, old.keyId), seed);
  await daemon.stop();
});

test('a daemon whose ring has no KEK yet takes the ring that comes, whatever its name', async () => {
  const host = new TestHost();
  assert.equal((await host.run('provision', '--token-only')).exitCode, 0);
  const daemon = await host.serve();
  const first = await host.run('provision', '--ring', 'prod');
  assert.equal(first.exitCode, 0, first.stderr);
  const client = new KmsClient(host.socket);
  const { keyId } = await once(client, ({ healthz }) => healthz === 'ok');
  assert.match(keyId, /^k1\.prod\.1\./);
  await daemon.stop();
});
