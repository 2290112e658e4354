// Another recovery key for a ring: made from the old one, or because that is lost. Every
// member is told its fingerprint, since whoever holds a KEK could name a key of theirs.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatBundle } from '../../src/keyring/bundle.ts';
import { readBundle } from '../../src/keyring/bundlefile.ts';
import { ringDigest } from '../../src/keyring/digest.ts';
import {
  createFor,
  everythingOf,
  good,
  joinTo,
  makeRecovery,
  promoteOn,
  type RecoveryFiles,
  recoveryBundles,
  requestOf,
  requireRefusal,
  tokenOnlyHost,
} from '../support/ceremony.ts';
import { temporaryFolder } from '../support/folder.ts';
import type { TestHost } from '../support/host.ts';
import { kleidi, type Result } from '../support/kleidi.ts';
import { passphrase } from '../support/recoveryset.ts';

const folder = temporaryFolder();
const [old, next, stranger] = await Promise.all(
  ['old', 'new', 'stranger'].map((name) => makeRecovery(folder, name)),
);
assert.ok(old && next && stranger);
const named = ({ pub, sha256 }: RecoveryFiles): string => `${pub}=${sha256}`;
let files = 0;

/** Two members that write with their second KEK, which the first vouches for. */
async function pair(): Promise<[TestHost, TestHost]> {
  const [leader, follower] = await Promise.all([tokenOnlyHost(), tokenOnlyHost()]);
  for (const generation of [1, 2]) {
    const made = await createFor(leader, [await requestOf(follower)], old);
    await joinTo(follower, made);
    for (const host of [leader, follower]) await promoteOn(host, made.fp, generation);
  }
  return [leader, follower];
}

function offline(action: string, key: RecoveryFiles, ...args: string[]): Promise<Result> {
  const secret = ['--key', key.key, '--passphrase-fd', '0'];
  return kleidi(['recovery', action, ...args, ...secret], { input: passphrase });
}

interface Replacement {
  readonly bundle: string;
  readonly digest: string;
}

async function ringOf(host: TestHost): Promise<string[]> {
  const path = join(folder, `ring-${files++}`);
  await good(host, 'ring', 'export', '--out', path);
  return ['--ring', path, '--expect', ringDigest(host.ring)];
}

async function replaced(host: TestHost): Promise<Replacement> {
  const bundle = join(folder, `replaced-${files++}`);
  const to = ['--recovery', named(next as RecoveryFiles), '--out', bundle, '--json'];
  const ring = await ringOf(host);
  const { exitCode, stdout, stderr } = await offline(
    'replace',
    old as RecoveryFiles,
    ...recoveryBundles(host),
    ...ring,
    ...to,
  );
  assert.equal(exitCode, 0, stderr);
  return { bundle, digest: (JSON.parse(stdout) as Replacement).digest };
}

test('with the old key: every member takes the new one by name, and the drill passes with it alone', async () => {
  const members = await pair();
  const { bundle, digest } = await replaced(members[0]);
  for (const host of members) {
    const args = ['join', bundle, '--expect', digest, '--recovery', named(next)];
    await good(host, ...args);
    assert.equal(ringDigest(host.ring), digest);
    const after = await everythingOf(host);
    // The PIN's part is made anew each time.
    const part = join(host.folder, 'state/pin.recovery.json');
    const { recovery } = JSON.parse(readFileSync(part, 'utf8')) as { recovery: string };
    assert.equal(recovery, next.sha256);
    await good(host, 'join', bundle, '--expect', digest, '--recovery', named(next));
    const again = await everythingOf(host);
    const besidePin = (all: object): string =>
      JSON.stringify(all).replace(/"[^"]*pin\.recovery\.json":"[^"]*",/, '');
    assert.equal(besidePin(again), besidePin(after));
    const ring = await ringOf(host);
    const passes = await offline('test', next, ...recoveryBundles(host), ...ring);
    assert.equal(passes.exitCode, 0, passes.stdout + passes.stderr);
    assert.equal((await offline('test', old, ...recoveryBundles(host))).exitCode, 1);
  }
  const [leader] = members;
  await requireRefusal(
    leader,
    /not the recovery key of the ring/,
    'key',
    'create',
    '--recovery',
    named(old),
  );
  // It is pinned now: nobody is asked.
  await createFor(leader, [], { ...next, sha256: next.sha256 });
});

test('no member takes another recovery key unasked, unnamed, or a stranger instead of the named one', async () => {
  const [leader, follower] = await pair();
  const { bundle, digest } = await replaced(leader);
  const joining = ['join', bundle, '--expect', digest];
  await requireRefusal(
    follower,
    /names recovery key sha256:.* there, this host has sha256:/,
    ...joining,
  );
  await requireRefusal(follower, /no terminal to ask/, ...joining, '--recovery', next.pub);
  await requireRefusal(
    follower,
    /not the expected recovery key/,
    ...joining,
    '--recovery',
    `${stranger.pub}=${next.sha256}`,
  );
  await requireRefusal(
    follower,
    /no KEK of the ring in this bundle has/,
    ...joining,
    '--recovery',
    named(stranger),
  );
  // A KEK's holder can make a right MAC for a key of theirs, and every digest then agrees.
  const theirs = join(folder, `theirs-${files++}`);
  const args = ['--recovery', named(stranger), '--out', theirs, '--json'];
  const ring = await ringOf(leader);
  const made = await offline('replace', old, ...recoveryBundles(leader), ...ring, ...args);
  assert.equal(made.exitCode, 0, made.stderr);
  const agreed = (JSON.parse(made.stdout) as Replacement).digest;
  const toldNext = ['join', theirs, '--expect', agreed, '--recovery', named(next)];
  await requireRefusal(follower, /no KEK of the ring in this bundle has/, ...toldNext);
  // Half of it for the stranger: the rest is not taken either.
  const [mixed, mine] = [await readBundle(theirs), await readBundle(bundle)];
  assert.ok(mixed.carried && mine.carried);
  const [first] = mine.carried.keks;
  const isFirst = ({ fp }: { fp: string }): boolean => fp === first?.fp;
  const half = {
    ...mine.carried,
    keks: mixed.carried.keks.map((kek) => (isFirst(kek) && first ? first : kek)),
  };
  const keks = [...mine.keks.filter(isFirst), ...mixed.keks.filter((kek) => !isFirst(kek))];
  const path = join(folder, `half-${files++}`);
  writeFileSync(path, formatBundle(mine, keks, half));
  const both = ['join', path, '--expect', ringDigest(half), '--recovery', named(next)];
  await requireRefusal(
    follower,
    /names recovery key sha256:.* there, this host has sha256:/,
    ...both,
  );
});

test('where the old key is lost: a rotation under a new one, which each member is told', async () => {
  const [leader, follower] = await pair();
  const request = await requestOf(follower);
  const out = join(folder, `rotated-${files++}`);
  const create = ['key', 'create', '--for', request.named, '--out', out, '--json'];
  await requireRefusal(
    leader,
    /not the recovery key of the ring/,
    ...create,
    '--recovery',
    named(next),
  );
  await requireRefusal(
    leader,
    /no terminal to ask/,
    ...create,
    '--new-recovery',
    '--recovery',
    next.pub,
  );
  const output = await good(leader, ...create, '--new-recovery', '--recovery', named(next));
  const { fp, digest } = JSON.parse(output) as { fp: string; digest: string };
  const joining = ['join', out, '--expect', digest];
  await requireRefusal(follower, /names recovery key sha256:.* there/, ...joining);
  const importing = ['key', 'import', out, '--expect', fp];
  await requireRefusal(follower, /not the recovery key of the ring/, ...importing);
  await good(follower, ...joining, '--recovery', named(next));
  for (const host of [leader, follower]) await promoteOn(host, fp, 3);
  assert.equal(ringDigest(follower.ring), ringDigest(leader.ring));
  // From the promotion on the new one is the ring's.
  await requireRefusal(
    leader,
    /not the recovery key of the ring/,
    'key',
    'create',
    '--recovery',
    named(old),
  );
  await createFor(leader, [], next);
});

test('what cannot be replaced whole is not replaced', async () => {
  const [leader] = await pair();
  const [ring, out] = [await ringOf(leader), join(folder, `never-${files++}`)];
  const to = ['--recovery', named(next as RecoveryFiles), '--out', out];
  const [one = ''] = recoveryBundles(leader);
  const cases: readonly (readonly [RecoveryFiles, string[], string[], RegExp])[] = [
    [old, [one], ring, /no bundle of it is here/],
    [stranger, recoveryBundles(leader), ring, /is wrapped for recovery key/],
    [
      old,
      recoveryBundles(leader),
      [...ring.slice(0, 3), `sha256:${'0'.repeat(64)}`],
      /not the expected ring/,
    ],
  ];
  for (const [key, bundles, of, reason] of cases) {
    const { exitCode, stderr } = await offline('replace', key, ...bundles, ...of, ...to);
    assert.equal(exitCode, 1);
    assert.match(stderr, reason);
  }
  assert.throws(() => readFileSync(out));
});
