// kleidi join: what a member needs, from one bundle, by one digest. And what an attacker
// can put into such a bundle.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type BundleKek, formatBundle } from '../../src/keyring/bundle.ts';
import { readBundle } from '../../src/keyring/bundlefile.ts';
import { ringDigest } from '../../src/keyring/digest.ts';
import { readRecoveryKey } from '../../src/keyring/recoverypublickey.ts';
import { readRequest } from '../../src/keyring/request.ts';
import type { Ring } from '../../src/keyring/ring.ts';
import type { RingName } from '../../src/keyring/ringid.ts';
import {
  createFor,
  everythingOf,
  good,
  joinTo,
  type MadeBundle,
  makeRecovery,
  promoteOn,
  recoveryBundles,
  requestOf,
  requireRefusal,
  tokenOnlyHost,
} from '../support/ceremony.ts';
import { KmsClient } from '../support/client.ts';
import { temporaryFolder } from '../support/folder.ts';
import type { TestHost } from '../support/host.ts';
import { kleidi } from '../support/kleidi.ts';
import { knownKek, newHybridKey, passphrase, vouched } from '../support/recoveryset.ts';
import { destroyObjects, tokenObjects } from '../support/tokenobjects.ts';

const folder = temporaryFolder();
const recovery = await makeRecovery(folder);
const recoveryKey = await readRecoveryKey(recovery.pub);
let files = 0;

/** A leader and a follower of it, with one KEK, which both write with. */
async function pair(): Promise<{ leader: TestHost; follower: TestHost; first: string }> {
  const [leader, follower] = await Promise.all([tokenOnlyHost(), tokenOnlyHost()]);
  const made = await createFor(leader, [await requestOf(follower)], recovery);
  await joinTo(follower, made);
  for (const host of [leader, follower]) await promoteOn(host, made.fp, 1);
  return { leader, follower, first: made.fp };
}

const digestOf = async (host: TestHost): Promise<string> =>
  (await good(host, 'ring', 'digest')).trim();

/** The operator's offline half: every KEK of the ring of `from` for `to`. */
async function rewrapFor(to: TestHost, from: TestHost): Promise<Omit<MadeBundle, 'fp'>> {
  const [request, digest] = [await requestOf(to), await digestOf(from)];
  const [ring, bundle] = [join(folder, `ring-${files}`), join(folder, `rewrapped-${files++}`)];
  await good(from, 'ring', 'export', '--out', ring);
  const named = ['--key', recovery.key, '--for', request.named, '--out', bundle];
  const { exitCode, stdout, stderr } = await kleidi(
    [
      ...['recovery', 'rewrap', ...recoveryBundles(from), ...named],
      ...['--ring', ring, '--expect', digest, '--passphrase-fd', '0', '--json'],
    ],
    { input: passphrase },
  );
  assert.equal(exitCode, 0, stderr);
  return { bundle, digest: (JSON.parse(stdout) as { digest: string }).digest };
}

test('a follower joins, follows a rotation, and has the digest of the leader each time; again changes nothing', async () => {
  const { leader, follower } = await pair();
  assert.equal(await digestOf(follower), await digestOf(leader));
  const daemon = await follower.superviseServe();
  const next = await createFor(leader, [await requestOf(follower)], recovery);
  await joinTo(follower, next);
  assert.deepEqual(
    follower.ring.keks.map(({ state }) => state),
    ['write', 'staged'],
  );
  assert.equal(await digestOf(follower), next.digest);
  assert.equal((await good(follower, 'ring', 'digest', '--live')).trim(), next.digest);
  const after = await everythingOf(follower);
  await joinTo(follower, next);
  assert.deepEqual(await everythingOf(follower), after);
  const classes = (await tokenObjects(follower)).map((object) => object.class);
  assert.deepEqual(new Set(classes).size, 1, 'the transport key is gone');
  await daemon.stop();
});

test('a new member joins a ring of three KEKs with what recovery rewrap --ring makes, and opens all', async () => {
  const { leader, first } = await pair();
  const daemon = await leader.superviseServe();
  const client = new KmsClient(leader.socket);
  const seed = randomBytes(32);
  const sealed = [await client.encrypt(seed)];
  for (const generation of [2, 3]) {
    const { fp } = await createFor(leader, [], recovery);
    await promoteOn(leader, fp, generation);
    sealed.push(await client.encrypt(seed));
  }
  client.close();
  const fourth = await tokenOnlyHost();
  const made = await rewrapFor(fourth, leader);
  assert.equal((await readBundle(made.bundle)).keks.length, 3);
  await joinTo(fourth, { ...made, fp: first });
  assert.deepEqual(fourth.ring, leader.ring);
  const theirs = await fourth.serve();
  const late = new KmsClient(fourth.socket);
  for (const { ciphertext, keyId } of sealed) {
    assert.deepEqual(await late.decrypt(ciphertext, keyId), seed);
  }
  await Promise.all([daemon.stop(), theirs.stop()]);
});

test('a bundle that lacks a KEK of its ring, carries no ring, or carries another one than expected is refused', async () => {
  const { leader } = await pair();
  const fresh = await tokenOnlyHost();
  const one = await createFor(leader, [await requestOf(fresh)], recovery);
  await requireRefusal(fresh, /does not hold KEK/, 'join', one.bundle, '--expect', one.digest);
  const other = `sha256:${'0'.repeat(64)}`;
  await requireRefusal(fresh, /is not the expected ring/, 'join', one.bundle, '--expect', other);
  const [part = ''] = recoveryBundles(leader);
  await requireRefusal(fresh, /carries no ring/, 'join', part, '--expect', one.digest);
  assert.equal((await fresh.run('join', one.bundle)).exitCode, 2, 'without a digest');
});

// --- what an attacker can put into a bundle -----------------------------------

interface Attack {
  readonly bundle: string;
  readonly digest: string;
}

/** With a right checksum; `digest` is what a deceived operator would compare with. */
function attack(name: RingName, keks: readonly BundleKek[], ring: Ring): Attack {
  const bundle = join(folder, `attack-${files++}`);
  writeFileSync(bundle, formatBundle(name, keks, ring));
  return { bundle, digest: ringDigest(ring) };
}

test('a KEK of a stranger is taken by no living member, whatever the operator was told', async () => {
  const { leader, follower } = await pair();
  const asked = await readRequest((await requestOf(follower)).path);
  const name = { ring: leader.ring.ring, ringId: leader.ring.ringId ?? '' };
  const { material: _, ...planted } = knownKek(name, recoveryKey, [asked]);
  const entry = { fp: planted.fp, check: planted.check, provider: 'pkcs11' as const };
  const born = { recovery: recovery.sha256, created: planted.created };
  const ringWith = (state: 'staged' | 'write'): Ring => ({
    ...leader.ring,
    generation: 7,
    keks: [
      ...leader.ring.keks.map((kek) => ({
        ...kek,
        state: state === 'write' ? ('read' as const) : kek.state,
      })),
      { ...entry, ...born, state },
    ],
  });
  const falseVoucher = { by: leader.ring.keks[0]?.fp ?? '', mac: '0'.repeat(32) };
  const ownRoot = knownKek(name, recoveryKey, [asked]);
  const { material: __, ...underOwn } = vouched(name, ownRoot, {
    ...planted,
    material: randomBytes(0),
  });
  for (const state of ['staged', 'write'] as const) {
    const told = async (kek: BundleKek, reason: RegExp): Promise<void> => {
      const { bundle, digest } = attack(name, [kek], ringWith(state));
      await requireRefusal(follower, reason, 'join', bundle, '--expect', digest);
    };
    await told(planted, /no KEK of this ring vouches for it/);
    await told(underOwn, /no KEK of this ring vouches for it/);
    await told({ ...planted, vouchers: [falseVoucher] }, /the voucher of KEK .* for it is false/);
  }
  const { bundle } = attack(name, [planted], ringWith('staged'));
  await requireRefusal(follower, /vouches/, 'key', 'import', bundle, '--expect', planted.fp);
});

test('KEKs and ring of a bundle must say the same: strangers, other pins, other rings, other times', async () => {
  const { leader, follower } = await pair();
  const made = await createFor(leader, [await requestOf(follower)], recovery);
  const genuine = await readBundle(made.bundle);
  const { carried, keks } = genuine;
  const [kek] = keks;
  assert.ok(kek !== undefined && carried !== null);
  const other = 'ab'.repeat(32);
  const changed = (change: Partial<Ring['keks'][number]>): Ring => ({
    ...carried,
    keks: carried.keks.map((each) => (each.fp === kek.fp ? { ...each, ...change } : each)),
  });
  const stranger = knownKek(genuine, newHybridKey(), []);
  const { material: _, ...more } = stranger;
  const cases: readonly (readonly [readonly BundleKek[], Ring, RegExp])[] = [
    [[kek, more], carried, /is not in its ring as it is in the bundle/],
    [keks, changed({ recovery: other }), /is not in its ring as it is in the bundle/],
    [keks, changed({ recovery: null }), /is not in its ring as it is in the bundle/],
    [keks, changed({ created: '2020-01-01T00:00:00.000Z' }), /is not in its ring/],
    [keks, changed({ check: 'ab'.repeat(16) }), /is not in its ring/],
    [keks, changed({ provider: 'vault' }), /is not in its ring/],
    [keks, changed({ state: 'retired' }), /is not in its ring/],
    [keks, { ...carried, ring: 'dev' }, /the ring in it is another one/],
    [keks, { ...carried, ringId: 'ab'.repeat(16) }, /the ring in it is another one/],
    [keks, { ...carried, generation: 0 }, /the ring in it is not valid/],
  ];
  for (const [theirs, ring, reason] of cases) {
    const { bundle, digest } = attack(genuine, theirs, ring);
    await requireRefusal(follower, reason, 'join', bundle, '--expect', digest);
  }
  const renamed = { ring: 'dev', ringId: genuine.ringId };
  const foreign = attack(renamed, keks, { ...carried, ring: 'dev' });
  await requireRefusal(
    follower,
    /is the ring 'dev'/,
    'join',
    foreign.bundle,
    '--expect',
    foreign.digest,
  );
  const flipped = readFileSync(made.bundle, 'utf8').replace('"staged"', '"write"');
  const path = join(folder, `flipped-${files++}`);
  writeFileSync(path, flipped);
  await requireRefusal(
    follower,
    /not a whole kleidi bundle/,
    'join',
    path,
    '--expect',
    made.digest,
  );
  // After all that the genuine one is taken.
  await joinTo(follower, made);
});

test('the drill finds a KEK in the bundles that no other vouches for, and a false voucher', async () => {
  const { leader } = await pair();
  const ring = join(folder, `drill-${files++}`);
  const drill = async (
    ...bundles: string[]
  ): Promise<{ exitCode: number | null; text: string }> => {
    const args = ['recovery', 'test', ...bundles, '--key', recovery.key, '--passphrase-fd', '0'];
    const named = ['--ring', `${ring}.json`, '--expect', ringDigest(readRing())];
    const { exitCode, stdout, stderr } = await kleidi([...args, ...named], { input: passphrase });
    return { exitCode, text: stdout + stderr };
  };
  const readRing = (): Ring => JSON.parse(readFileSync(`${ring}.json`, 'utf8')) as Ring;
  const second = await createFor(leader, [], recovery);
  await good(leader, 'ring', 'export', '--out', `${ring}.json`);
  assert.equal((await drill(...recoveryBundles(leader))).exitCode, 0);

  const name = { ring: leader.ring.ring, ringId: leader.ring.ringId ?? '' };
  const { material: _, ...planted } = knownKek(name, recoveryKey, []);
  const { fp, check, created } = planted;
  const entry = { fp, check, created, provider: 'pkcs11', recovery: recovery.sha256 } as const;
  const path = join(folder, `planted-${files++}`);
  writeFileSync(path, formatBundle(name, [planted]));
  const exported = readRing();
  const keks = [...exported.keks, { ...entry, state: 'read' }];
  writeFileSync(`${ring}.json`, JSON.stringify({ ...exported, keks }));
  const found = await drill(...recoveryBundles(leader), path);
  assert.equal(found.exitCode, 1);
  assert.match(found.text, new RegExp(`KEK ${fp}: NOT covered: no KEK here vouches for it`));
  const fresh = await tokenOnlyHost();
  const rewrap = async (...bundles: string[]): Promise<string> => {
    const to = ['--for', (await requestOf(fresh)).named, '--out', join(folder, 'never')];
    const args = ['recovery', 'rewrap', ...bundles, '--key', recovery.key, '--passphrase-fd', '0'];
    const named = ['--ring', `${ring}.json`, '--expect', ringDigest(readRing())];
    const { exitCode, stderr } = await kleidi([...args, ...named, ...to], { input: passphrase });
    assert.equal(exitCode, 1);
    return stderr;
  };
  assert.match(await rewrap(...recoveryBundles(leader), path), /no KEK here vouches for it/);

  const own = recoveryBundles(leader).find((file) => file.includes(second.fp)) ?? '';
  const genuine = await readBundle(own);
  const [kek] = genuine.keks;
  assert.ok(kek !== undefined);
  const vouchers = kek.vouchers.map(({ by }) => ({ by, mac: '0'.repeat(32) }));
  assert.equal(vouchers.length, 1);
  writeFileSync(path, formatBundle(genuine, [{ ...kek, vouchers }]));
  writeFileSync(`${ring}.json`, JSON.stringify(exported));
  const others = recoveryBundles(leader).filter((file) => file !== own);
  const lied = await drill(...others, path);
  assert.equal(lied.exitCode, 1);
  assert.match(lied.text, new RegExp(`for KEK ${second.fp} is false`));
  assert.match(await rewrap(...others, path), new RegExp(`for KEK ${second.fp} is false`));
});

test('a host that lacks a KEK of its ring says no digest, whatever it is asked, and goes on with its work', async () => {
  const { leader, first } = await pair();
  const { fp } = await createFor(leader, [], recovery);
  await promoteOn(leader, fp, 2);
  await destroyObjects(leader, first);
  for (const args of [[], ['--openable'], ['--named'], ['--expect', `sha256:${'0'.repeat(64)}`]]) {
    const { exitCode, stdout, stderr } = await leader.run('ring', 'digest', ...args);
    assert.deepEqual([exitCode, stdout], [1, ''], args.join(' '));
    assert.match(stderr, new RegExp(`lacks KEK ${first}: its ring has no digest`));
  }
  const [file, backup] = [join(folder, `missing-${files}`), join(folder, `backup-${files++}`)];
  const third = join(folder, `bundle-${files++}`);
  const offline = ['--recovery', `${recovery.pub}=${recovery.sha256}`];
  for (const args of [
    ['ring', 'export', '--out', file],
    ['backup', '--out', backup],
    ['key', 'create', ...offline, '--out', third],
    ['key', 'promote', fp, '--generation', '2'],
  ]) {
    const { exitCode, stdout, stderr } = await leader.run(...args);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /no digest: this host lacks KEK/, args.join(' '));
    assert.doesNotMatch(stdout + stderr.replace(/key id.*/g, ''), /--expect sha256:|^sha256:/m);
  }
});
