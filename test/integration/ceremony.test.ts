// The way of a KEK between hosts: made on one, imported on the others, the same
// on all; a host that comes later gets it by the recovery key.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fingerprintOfKek } from '../../src/keyring/cmac.ts';
import {
  createFor,
  everythingOf,
  good,
  importInto,
  makeRecovery,
  promoteOn,
  recoveryBundles,
  requestOf,
  tokenOnlyHost,
} from '../support/ceremony.ts';
import { KmsClient } from '../support/client.ts';
import { temporaryFolder } from '../support/folder.ts';
import type { TestHost } from '../support/host.ts';
import { kleidi } from '../support/kleidi.ts';
import { passphrase } from '../support/recoveryset.ts';
import { tokenObjects } from '../support/tokenobjects.ts';

const offline = temporaryFolder();
const recovery = await makeRecovery(offline);
const [a, b, c] = await Promise.all([tokenOnlyHost(), tokenOnlyHost(), tokenOnlyHost()]);
const members = [a, b, c];
const seed = randomBytes(32);

async function digestOf(host: TestHost): Promise<string> {
  return good(host, 'ring', 'digest');
}

test('a request is the same while it is open, and --new voids it', async () => {
  const first = await requestOf(b);
  assert.equal((await requestOf(b)).sha256, first.sha256);
  assert.equal((await tokenObjects(b)).length, 1);
  const renewed = await requestOf(b, '--new');
  assert.notEqual(renewed.sha256, first.sha256);
  const [key, ...more] = await tokenObjects(b);
  assert.deepEqual(more, [], 'the public half is not kept, the old pair is gone');
  const { sensitive, extractable, unwrap, decrypt, sign } = key ?? {};
  assert.deepEqual(
    { sensitive, extractable, unwrap, decrypt, sign },
    { sensitive: '01', extractable: '00', unwrap: '01', decrypt: '00', sign: '00' },
  );
  const printed = await b.run('key', 'request');
  assert.equal(printed.stdout, readFileSync(renewed.path, 'utf8'));
  assert.match(printed.stderr, new RegExp(renewed.sha256));
  const again = await b.run('key', 'request', '--out', first.path);
  assert.equal(again.exitCode, 1, 'another request does not replace a file');
});

test('a KEK made on A for B and C: what one seals, each opens, under the same key id', async () => {
  const requests = await Promise.all([requestOf(b), requestOf(c)]);
  const made = await createFor(a, requests, recovery);
  assert.equal(statSync(made.bundle).mode & 0o777, 0o600);
  assert.ok(!existsSync(join(a.folder, 'state/key-create.json')));
  await importInto(b, made);
  await importInto(c, made);

  const digests = await Promise.all(members.map(digestOf));
  assert.equal(new Set(digests).size, 1);
  for (const host of members) {
    const [kek, ...more] = host.ring.keks;
    assert.deepEqual(more, []);
    assert.equal(kek?.fp, made.fp);
    assert.equal(kek.state, 'staged');
    assert.equal(kek.recovery, recovery.sha256);
    assert.equal(recoveryBundles(host).length, 1);
  }
  const objects = [await tokenObjects(a), await tokenObjects(b), await tokenObjects(c)];
  assert.equal(objects[0]?.length, 1, 'the transport key is gone, nothing else came');
  assert.deepEqual(objects[1], objects[0], 'the same attributes as where it was made');
  assert.deepEqual(objects[2], objects[0]);

  for (const host of members) promoteOn(host, made.fp, 1);
  const daemons = await Promise.all(members.map((host) => host.serve()));
  const clients = members.map((host) => new KmsClient(host.socket));
  for (const from of clients) {
    const { ciphertext, keyId } = await from.encrypt(seed);
    assert.equal(keyId, `k1.test.1.${made.fp}`);
    for (const to of clients) assert.deepEqual(await to.decrypt(ciphertext, keyId), seed);
  }
  const live = await Promise.all(members.map((host) => good(host, 'ring', 'digest', '--live')));
  assert.equal(new Set(live).size, 1);
  await Promise.all(daemons.map((daemon) => daemon.stop()));

  for (const host of members) {
    const before = await everythingOf(host);
    await importInto(host, made);
    assert.deepEqual(await everythingOf(host), before, 'a second import changes nothing');
  }
});

test('the recovery key opens the bundles of every host, and of no other KEK', async () => {
  const bundles = members.flatMap(recoveryBundles);
  const test = ['recovery', 'test', ...bundles, '--passphrase-fd', '0'];
  const input = `${passphrase}\n`;
  const right = await kleidi([...test, '--key', recovery.key, '--json'], { input });
  assert.equal(right.exitCode, 0, right.stderr);
  const { keks } = JSON.parse(right.stdout) as { keks: { opens: boolean }[] };
  assert.deepEqual(
    keks.map(({ opens }) => opens),
    [true, true, true],
  );
  const wrong = await kleidi([...test, '--key', recovery.key], { input: 'another one\n' });
  assert.equal(wrong.exitCode, 1);
  assert.match(wrong.stderr, /passphrase is wrong/);
  const other = await makeRecovery(offline, 'other');
  const foreign = await kleidi([...test, '--key', other.key], { input });
  assert.equal(foreign.exitCode, 1);
  assert.match(foreign.stdout, /NOT recoverable/);
});

test('a fourth host gets every KEK by rewrap, its token never having seen the others', async () => {
  await createFor(a, [await requestOf(b)], recovery);
  const d = await tokenOnlyHost();
  const request = await requestOf(d);
  const out = join(offline, 'd.bundle');
  const rewrap = ['recovery', 'rewrap', ...recoveryBundles(a), '--key', recovery.key];
  const args = [...rewrap, '--for', request.named, '--out', out, '--passphrase-fd', '0', '--json'];
  const { exitCode, stdout, stderr } = await kleidi(args, { input: passphrase });
  assert.equal(exitCode, 0, stderr);
  const { fps } = JSON.parse(stdout) as { fps: string[] };
  assert.deepEqual(new Set(fps), new Set(a.ring.keks.map((kek) => kek.fp)));
  assert.equal(fps.length, 2);
  assert.equal((await kleidi(args, { input: passphrase })).exitCode, 1, 'the file exists');

  await good(d, 'key', 'import', out, '--expect', fps.join(','));
  assert.deepEqual(
    d.ring.keks.map((kek) => [kek.state, kek.recovery]),
    fps.map(() => ['staged', recovery.sha256]),
  );
  assert.equal(recoveryBundles(d).length, 2);
  // What ring adopt does: the states of another member.
  copyFileSync(a.ringPath, d.ringPath);
  const daemons = await Promise.all([a.serve(), d.serve()]);
  const [from, to] = [new KmsClient(a.socket), new KmsClient(d.socket)];
  const sealed = await from.encrypt(seed);
  assert.deepEqual(await to.decrypt(sealed.ciphertext, sealed.keyId), seed);
  assert.equal((await to.status()).healthz, 'ok');
  await Promise.all(daemons.map((daemon) => daemon.stop()));
});

test('where the token was lost, the ring kept and the KEKs rewrapped, the states stay', async () => {
  const made = await createFor(c, [], recovery);
  promoteOn(c, made.fp, 2);
  const ring = readFileSync(c.ringPath);
  const stranger = await tokenOnlyHost();
  copyFileSync(c.ringPath, stranger.ringPath);
  const request = await requestOf(stranger);
  const out = join(offline, 'lost.bundle');
  const rewrap = ['recovery', 'rewrap', ...recoveryBundles(c), '--key', recovery.key];
  const args = [...rewrap, '--for', request.named, '--out', out, '--passphrase-fd', '0'];
  assert.equal((await kleidi(args, { input: passphrase })).exitCode, 0);
  const fps = c.ring.keks.map((kek) => kek.fp);
  await good(stranger, 'key', 'import', out, ...fps.flatMap((fp) => ['--expect', fp]));
  assert.deepEqual(readFileSync(stranger.ringPath), ring);
  const listed = JSON.parse(await good(stranger, 'key', 'list', '--json')) as object[];
  assert.equal(listed.length, fps.length);
  assert.ok(listed.every((kek) => 'inToken' in kek && kek.inToken === true));
});

test('no file that travels holds a KEK in clear', async () => {
  const { key } = recovery;
  for (const file of [key, ...recoveryBundles(a), join(offline, 'd.bundle')]) {
    const text = readFileSync(file, 'utf8');
    assert.ok(!text.includes('BEGIN PRIVATE') && !text.includes('BEGIN RSA'), file);
    for (const run of text.match(/[A-Za-z0-9+/=]{44,}/g) ?? []) {
      const bytes = Buffer.from(run, 'base64');
      for (let at = 0; at + 32 <= bytes.length; at += 1) {
        const fp = fingerprintOfKek(bytes.subarray(at, at + 32));
        assert.ok(!a.ring.keks.some((kek) => kek.fp === fp), file);
      }
    }
  }
});
