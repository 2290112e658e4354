// The way of a KEK between hosts: made on one, imported on the others, the same
// on all; a host that comes later gets it by the recovery key.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { identityOfKek } from '../../src/keyring/cmac.ts';
import {
  createFor,
  everythingOf,
  good,
  importInto,
  makeRecovery,
  promoteOn,
  recoveryBundles,
  requestOf,
  requireRefusal,
  rewrapInto,
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
/** Sealed under the first KEK. */
let oldest: { ciphertext: Buffer; keyId: string } = { ciphertext: Buffer.alloc(0), keyId: '' };

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
  await good(b, 'key', 'request', '--out', first.path);
  assert.equal(readFileSync(first.path, 'utf8'), printed.stdout, 'in place of the voided one');
  const foreign = join(b.folder, 'foreign');
  const others = printed.stdout.replace(/"host": "[^"]*"/, '"host": "another"');
  for (const text of ['a file', others]) {
    writeFileSync(foreign, text);
    assert.equal((await b.run('key', 'request', '--out', foreign)).exitCode, 1);
    assert.equal(readFileSync(foreign, 'utf8'), text, 'nothing else is replaced');
  }
});

test('the first KEK is written with at once, by the host that makes it and by who joins; there is one', async () => {
  const [a, b] = await Promise.all([tokenOnlyHost(), tokenOnlyHost()]);
  const request = await requestOf(b);
  const bundle = join(a.folder, 'first');
  const create = ['key', 'create', '--first', '--for', request.named];
  const offline = ['--recovery', `${recovery.pub}=${recovery.sha256}`];
  const made = await a.run(...create, ...offline, '--out', bundle);
  assert.equal(made.exitCode, 0, made.stderr);
  const [, digest = ''] = /kleidi join \S+ --expect (\S+)/.exec(made.stdout) ?? [];
  // The PIN needs no other word than the digest: it covers the recovery key.
  await good(b, 'join', bundle, '--expect', digest, '--recovery', recovery.pub);
  for (const host of [a, b]) {
    assert.deepEqual(
      [host.ring.generation, host.ring.keks.map(({ state }) => state)],
      [1, ['write']],
    );
    assert.equal((await good(host, 'ring', 'digest')).trim(), digest);
    assert.ok(existsSync(join(host.folder, 'state/pin.recovery.json')));
  }
  const again = [...create, ...offline, '--out', join(a.folder, 'second')];
  await requireRefusal(a, /the ring has KEK [0-9a-f]{32} already/, ...again);
});

test('what a command shows as the next one is that: promotion to one ring, on each host', async () => {
  const [a, b] = await Promise.all([tokenOnlyHost(), tokenOnlyHost()]);
  const out = join(b.folder, 'same.request');
  for (const turn of [1, 2]) {
    const asked = await b.run('key', 'request', '--out', out);
    assert.equal(asked.exitCode, 0, asked.stderr);
    const [, named = ''] = /--for same\.request=(\S+)/.exec(asked.stderr) ?? [];
    const bundle = join(a.folder, `bundle-${turn}`);
    const made = await a.run('key', 'create', '--for', `${out}=${named}`, '--out', bundle);
    const [, digest = ''] = /kleidi join \S+ --expect (\S+)/.exec(made.stdout) ?? [];
    const joined = await b.run('join', bundle, '--expect', digest);
    for (const [host, { stderr }] of [
      [a, made],
      [b, joined],
    ] as const) {
      const [, words = ''] = /kleidi (key promote .*)/.exec(stderr) ?? [];
      await good(host, ...words.split(' '));
      assert.equal(host.ring.generation, turn);
    }
    assert.equal(await good(a, 'ring', 'digest'), await good(b, 'ring', 'digest'));
  }
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

  for (const host of members) await promoteOn(host, made.fp, 1);
  const daemons = await Promise.all(members.map((host) => host.serve()));
  const clients = members.map((host) => new KmsClient(host.socket));
  for (const from of clients) {
    const { ciphertext, keyId } = await from.encrypt(seed);
    assert.equal(keyId, `k1.test.1.${made.fp}`);
    for (const to of clients) assert.deepEqual(await to.decrypt(ciphertext, keyId), seed);
    oldest = { ciphertext, keyId };
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

test('a second KEK is carried and promoted while clients call: no call fails, all stays readable', async () => {
  const daemons = await Promise.all(members.map((host) => host.superviseServe()));
  const clients = members.map((host) => new KmsClient(host.socket));
  const sealed = await Promise.all(clients.map((client) => client.encrypt(seed)));
  let isOver = false;
  let calls = 0;
  const calling = clients.map(async (client) => {
    for (; !isOver; calls += 1) {
      for (const { ciphertext, keyId } of sealed) {
        assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
      }
    }
  });
  const made = await createFor(a, await Promise.all([requestOf(b), requestOf(c)]), recovery);
  await Promise.all([importInto(b, made), importInto(c, made)]);
  const openable = await Promise.all(
    members.map((host) => good(host, 'ring', 'digest', '--openable')),
  );
  assert.equal(new Set(openable).size, 1);
  for (const host of members) await promoteOn(host, made.fp, 2);
  isOver = true;
  await Promise.all(calling);
  assert.ok(calls > 0);
  const live = await Promise.all(members.map((host) => good(host, 'ring', 'digest', '--live')));
  assert.equal(new Set(live).size, 1);
  const [first] = clients;
  assert.ok(first);
  const { ciphertext, keyId } = await first.encrypt(seed);
  assert.equal(keyId, `k1.test.2.${made.fp}`);
  for (const client of clients) assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
  await Promise.all(daemons.map((daemon) => daemon.stop()));
});

test('a fourth host gets every KEK by rewrap and adopts the ring, its token never having seen the others', async () => {
  const d = await tokenOnlyHost();
  const fps = await rewrapInto(d, recoveryBundles(a), recovery);
  assert.deepEqual(new Set(fps), new Set(a.ring.keks.map((kek) => kek.fp)));
  assert.equal(fps.length, 2);
  assert.deepEqual(
    d.ring.keks.map((kek) => [kek.state, kek.recovery]),
    fps.map(() => ['staged', recovery.sha256]),
  );
  assert.equal(recoveryBundles(d).length, 2);
  const ring = join(offline, 'ring.json');
  await good(a, 'ring', 'export', '--out', ring);
  await good(d, 'ring', 'adopt', ring, '--expect', (await digestOf(a)).trim());
  assert.equal(await digestOf(d), await digestOf(a));
  await requireOpens(a, d);
});

test('all tokens are lost: recovery key and backup make a host that opens everything', async () => {
  const backup = join(offline, 'backup.json');
  const [, digest = ''] = (await good(c, 'backup', '--out', backup)).split('\n');
  const e = await tokenOnlyHost();
  const generation = c.ring.generation + 1;
  const lost = ['--all-lost', '--generation', String(generation)];
  await good(e, 'restore', backup, '--expect', digest, ...lost);
  assert.deepEqual(e.ring, { ...c.ring, generation });
  const fps = await rewrapInto(e, recoveryBundles(e), recovery);
  assert.equal(fps.length, 2);
  assert.deepEqual(e.ring, { ...c.ring, generation }, 'the states stay as they were');
  await requireOpens(c, e);
});

/** What `from` seals, and has ever sealed, `to` opens. */
async function requireOpens(from: TestHost, to: TestHost): Promise<void> {
  const daemons = await Promise.all([from.serve(), to.serve()]);
  const [one, other] = [new KmsClient(from.socket), new KmsClient(to.socket)];
  const sealed = await one.encrypt(seed);
  assert.deepEqual(await other.decrypt(sealed.ciphertext, sealed.keyId), seed);
  assert.deepEqual(await other.decrypt(oldest.ciphertext, oldest.keyId), seed);
  assert.equal((await other.status()).healthz, 'ok');
  const ids = [await one.status(), await other.status()].map(({ keyId }) => keyId);
  assert.equal(new Set(ids).size, from.ring.generation === to.ring.generation ? 1 : 2);
  await Promise.all(daemons.map((daemon) => daemon.stop()));
}

test('no file that travels holds a KEK in clear', async () => {
  const { key } = recovery;
  for (const file of [key, ...recoveryBundles(a), join(offline, 'backup.json')]) {
    const text = readFileSync(file, 'utf8');
    assert.ok(!text.includes('BEGIN PRIVATE') && !text.includes('BEGIN RSA'), file);
    for (const run of text.match(/[A-Za-z0-9+/=]{44,}/g) ?? []) {
      const bytes = Buffer.from(run, 'base64');
      for (let at = 0; at + 32 <= bytes.length; at += 1) {
        const { fp } = identityOfKek(bytes.subarray(at, at + 32));
        assert.ok(!a.ring.keks.some((kek) => kek.fp === fp), file);
      }
    }
  }
});
