// kleidi ring export and ring adopt: a lagging or recovered host comes to the
// digest of the others, and by nothing that could cost a key.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ringDigest } from '../../src/keyring/digest.ts';
import { formatRing, type Ring } from '../../src/keyring/ring.ts';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { memberLike } from '../support/member.ts';

const seed = randomBytes(32);

async function good(host: TestHost, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await host.run(...args);
  assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

async function createKek(host: TestHost): Promise<string> {
  return (JSON.parse(await good(host, 'key', 'create', '--json')) as { fp: string }).fp;
}

/** As an operator: file by one way, digest by another. */
async function adopt(to: TestHost, from: TestHost) {
  const file = join(from.folder, `ring-${randomBytes(4).toString('hex')}.json`);
  await good(from, 'ring', 'export', '--out', file);
  return to.run('ring', 'adopt', file, '--expect', await good(from, 'ring', 'digest'));
}

async function adoptText(host: TestHost, ring: Ring) {
  const file = join(host.folder, 'given.json');
  writeFileSync(file, formatRing(ring));
  return host.run('ring', 'adopt', file, '--expect', ringDigest(ring));
}

test('a host that slept through two rotations adopts the ring, with its daemon running', async () => {
  const a = await TestHost.provisioned();
  const [second, third] = [await createKek(a), await createKek(a)];
  const b = memberLike(a);
  const first = a.ring.keks[0]?.fp ?? '';
  const daemon = await b.serve();
  const client = new KmsClient(b.socket);
  const old = await client.encrypt(seed);
  await good(a, 'key', 'promote', second);
  await good(a, 'key', 'promote', third);
  await good(a, 'key', 'retire', second);

  assert.equal((await adopt(b, a)).exitCode, 0);
  assert.equal((await client.status()).keyId, `k1.test.3.${third}`, 'announced already');
  assert.equal(await good(b, 'ring', 'digest', '--live'), await good(a, 'ring', 'digest'));
  assert.deepEqual(await client.decrypt(old.ciphertext, old.keyId), seed);
  const written = readFileSync(b.ringPath, 'utf8');
  assert.equal((await adopt(b, a)).exitCode, 0, 'safe to repeat');
  assert.equal(readFileSync(b.ringPath, 'utf8'), written);

  // Older than what this host has: also where its file is gone, and only its daemon knows.
  await good(b, 'key', 'promote', first);
  for (const lose of [false, true]) {
    if (lose) rmSync(b.ringPath);
    const { exitCode, stderr } = await adopt(b, a);
    assert.equal(exitCode, 1);
    assert.match(stderr, /generation 3, .*generation 4|generation 3, this host has 4/);
  }
  await daemon.stop();
  // And where nobody is left who knows, by what it has written with last.
  const { exitCode, stderr } = await adopt(b, a);
  assert.equal(exitCode, 1);
  assert.match(stderr, /generation 3, this host has 4/);
});

test('a lost ring file is replaced by that of another member; a retired KEK need not be there', async () => {
  const a = await TestHost.provisioned();
  const second = await createKek(a);
  const b = memberLike(a);
  const first = a.ring.keks[0]?.fp ?? '';
  await good(a, 'key', 'promote', second);
  await good(a, 'key', 'retire', first);
  await good(b, 'key', 'promote', second);
  await good(b, 'key', 'retire', first);
  await good(b, 'key', 'destroy', first, '--no-scan', '--yes');
  for (const damage of [() => rmSync(b.ringPath), () => writeFileSync(b.ringPath, '{ torn')]) {
    damage();
    const { exitCode, stderr } = await adopt(b, a);
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(b.ring, a.ring);
  }
  // The live digest counts a retired KEK without its key, as the file does.
  const daemon = await b.serve();
  assert.equal(await good(b, 'ring', 'digest', '--live'), await good(a, 'ring', 'digest'));
  await daemon.stop();
});

test('a swapped file, another ring, a missing KEK, a split and another recovery key change nothing', async () => {
  const a = await TestHost.provisioned();
  await createKek(a);
  const { ring } = a;
  const before = readFileSync(a.ringPath, 'utf8');
  const [one, two] = ring.keks;
  if (one === undefined || two === undefined) throw new Error('two KEKs are needed');
  const foreign = { ...two, fp: 'ab'.repeat(16), state: 'read' } as const;
  const split: Ring = {
    ...ring,
    keks: [
      { ...one, state: 'read' },
      { ...two, state: 'write' },
    ],
  };
  const pinned = { ...two, recovery: 'cd'.repeat(32) };
  const cases: [Ring, RegExp][] = [
    [{ ...ring, ring: 'dev' }, /ring 'dev'.*, this host has ring 'test'/],
    [
      { ...ring, ringId: '0f'.repeat(16) },
      /'test' \(id 0f0f0f0f\), this host has ring 'test' \(id/,
    ],
    [
      { ...ring, generation: 2, keks: [{ ...one, check: '0f'.repeat(16) }, two] },
      /KEK .* is another key there than here: its check differs/,
    ],
    [{ ...ring, keks: [...ring.keks, foreign] }, /does not hold KEK (ab)+/],
    [split, /has write KEK .* there and .* here/],
    [{ ...split, generation: 5, keks: [{ ...two, state: 'write' }] }, /writes with, is not in it/],
    [
      { ...ring, generation: 2, keks: [one, pinned] },
      /has no recovery key there, and sha256:(ef)+ here/,
    ],
    [
      { ...ring, generation: 2, keks: [{ ...one, recovery: 'ef'.repeat(32) }, pinned] },
      /names recovery key sha256:(cd)+ there/,
    ],
  ];
  for (const [given, reason] of cases) {
    if (given.keks.includes(pinned)) {
      const [mine] = [{ ...one, recovery: 'ef'.repeat(32) }];
      writeFileSync(a.ringPath, formatRing({ ...ring, keks: [mine, two] }));
    }
    const { exitCode, stderr } = await adoptText(a, given);
    assert.equal(exitCode, 1, String(reason));
    assert.match(stderr, reason);
    if (!given.keks.includes(pinned)) assert.equal(readFileSync(a.ringPath, 'utf8'), before);
  }
  const file = join(a.folder, 'swapped.json');
  writeFileSync(file, formatRing(ring));
  const other = await a.run('ring', 'adopt', file, '--expect', `sha256:${'0'.repeat(64)}`);
  assert.match(other.stderr, /not the expected ring: its digest is another one/);
  assert.equal((await a.run('ring', 'adopt', file)).exitCode, 2);
});

test('a host that has lost its ring takes no recovery key that the digest does not cover', async () => {
  const a = await TestHost.provisioned();
  const expected = ringDigest(a.ring);
  const keks = a.ring.keks.map((kek) => ({ ...kek, recovery: 'ef'.repeat(32) }));
  const file = join(a.folder, 'changed.json');
  writeFileSync(file, formatRing({ ...a.ring, keks }));
  rmSync(a.ringPath);
  const { exitCode, stderr } = await a.run('ring', 'adopt', file, '--expect', expected);
  assert.equal(exitCode, 1);
  assert.match(stderr, /not the expected ring/);
  assert.equal(existsSync(a.ringPath), false);
});
