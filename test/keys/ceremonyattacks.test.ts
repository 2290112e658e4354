// What an attacker between the hosts can do to a ceremony: swap, replay, alter.
// Each is refused, and leaves token, ring and files as they were.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type Bundle,
  type BundleKek,
  formatBundle,
  recoveryPart,
} from '../../src/keyring/bundle.ts';
import { readBundle } from '../../src/keyring/bundlefile.ts';
import type { HybridPublicKey } from '../../src/keyring/hybrid.ts';
import { publicKeyOfObject } from '../../src/keyring/publickey.ts';
import { readRecoveryKey } from '../../src/keyring/recoverypublickey.ts';
import { formatRequest, makeRequest, readRequest } from '../../src/keyring/request.ts';
import { emptyRing, formatRing } from '../../src/keyring/ring.ts';
import {
  createFor,
  everythingOf,
  importInto,
  makeRecovery,
  requestOf,
  requireRefusal,
  tokenOnlyHost,
} from '../support/ceremony.ts';
import { temporaryFolder } from '../support/folder.ts';
import type { TestHost } from '../support/host.ts';
import { kleidi } from '../support/kleidi.ts';
import { knownKek, newHybridKey, passphrase } from '../support/recoveryset.ts';
import { destroyObjects, tokenObjects } from '../support/tokenobjects.ts';

const folder = temporaryFolder();
const recovery = await makeRecovery(folder);
const recoveryKey = await readRecoveryKey(recovery.pub);
const [maker, a, b, c] = await Promise.all([
  tokenOnlyHost(),
  tokenOnlyHost(),
  tokenOnlyHost(),
  tokenOnlyHost(),
]);
const request = await requestOf(b);
const host = await readRequest(request.path);
const attacker = publicKeyOfObject(generateKeyPairSync('rsa', { modulusLength: 3072 }).publicKey);

const made = await createFor(a, [request], recovery);
const genuine = await readBundle(made.bundle);
const [kek] = genuine.keks;
assert.ok(kek);

async function refused(at: TestHost, reason: RegExp, ...args: string[]): Promise<void> {
  assert.equal((await requireRefusal(at, reason, ...args)).stdout, '');
}

let files = 0;

function fileWith(text: string | Buffer): string {
  const path = join(folder, `attack-${files++}`);
  writeFileSync(path, text);
  return path;
}

// --- what an attacker does to the host that makes the KEK ---------------------

test('a swapped request is refused', async () => {
  const swapped = fileWith(formatRequest(makeRequest(attacker, host.ring, host.host)));
  const out = join(folder, 'never');
  const create = ['key', 'create', '--out', out, '--for'];
  await refused(maker, /not the expected request/, ...create, `${swapped}=${request.sha256}`);
});

test('a request that was altered, is of another ring, is too weak, or is named twice is refused', async () => {
  const text = readFileSync(request.path, 'utf8');
  const weak = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  const weakText = text.replace(
    /"publicKey": ".*"/,
    `"publicKey": ${JSON.stringify(weak.export({ type: 'spki', format: 'pem' }))}`,
  );
  const otherRing = fileWith(formatRequest(makeRequest(host, 'other', host.host)));
  const create = ['key', 'create', '--out', join(folder, 'never'), '--for'];
  await refused(
    a,
    /sha256 is not the one/,
    ...create,
    fileWith(text.replace(/"sha256": "./, '"sha256": "g')),
  );
  await refused(maker, /it has 2048 bits, allowed are 3072 to 8192/, ...create, fileWith(weakText));
  await refused(maker, /in ring 'other'/, ...create, otherRing);
  // Also by another name: one token, so one host.
  const renamed = makeRequest(host, host.ring, 'cp9');
  const again = `${fileWith(formatRequest(renamed))}=${renamed.fingerprint}`;
  await refused(maker, /or has its key/, ...create, request.named, '--for', again);
  await refused(maker, /is not a request/, ...create, fileWith('{}'));
  await refused(maker, /same request/, ...create, request.named, '--for', request.named);
});

test('a request that was edited is not the one of that fingerprint; without a ring none is made', async () => {
  const create = ['key', 'create', '--out', join(folder, 'never'), '--for'];
  for (const edited of [makeRequest(host, 'other', host.host), makeRequest(host, 'test', 'cp9')]) {
    const path = fileWith(formatRequest(edited));
    await refused(maker, /not the expected request/, ...create, `${path}=${request.sha256}`);
    await refused(maker, /not the expected request/, ...create, `${path}=${host.recipient}`);
  }
  await refused(
    maker,
    /an older kleidi has made it/,
    ...create,
    fileWith(readFileSync(request.path, 'utf8').replace('"format": 2', '"format": 1')),
  );
  const ring = readFileSync(c.ringPath);
  rmSync(c.ringPath);
  await refused(c, /ring file .* does not exist/, 'key', 'request');
  writeFileSync(c.ringPath, ring);
});

test('a swapped recovery key is refused, and another one than the pinned', async () => {
  const other = await makeRecovery(folder, 'other');
  const create = ['key', 'create', '--recovery'];
  await refused(
    maker,
    /not the expected recovery key/,
    ...create,
    `${other.pub}=${recovery.sha256}`,
  );
  const d = await tokenOnlyHost();
  await createFor(d, [], recovery);
  await refused(d, /not the recovery key of the ring/, ...create, other.pub);
  await refused(d, /not the recovery key of the ring/, ...create, `${other.pub}=${other.sha256}`);
  await refused(d, /new KEK would have none/, 'key', 'create');
});

test('an existing bundle is not replaced', async () => {
  const out = fileWith('something');
  const create = ['key', 'create', '--for', request.named, '--out', out];
  await refused(maker, /exists already/, ...create);
  assert.equal(readFileSync(out, 'utf8'), 'something');
});

// --- what an attacker does to the host that imports ---------------------------

/** With a right checksum, as an attacker would write it. */
function bundleWith(changes: Partial<Bundle>): string {
  return fileWith(formatBundle({ ...genuine, ...changes }, changes.keks ?? genuine.keks));
}

function kekWith(changes: Partial<BundleKek>): string {
  return bundleWith({ keks: [{ ...kek, ...changes } as BundleKek] });
}

function withPart(role: 'host' | 'recovery', change: (wrapped: string) => string): string {
  const recipients = (kek?.recipients ?? []).map((part) =>
    part.role === role ? { ...part, wrapped: change(part.wrapped) } : part,
  );
  return kekWith({ recipients });
}

function flipped(wrapped: string, bit: number): string {
  const bytes = Buffer.from(wrapped, 'base64');
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return bytes.toString('base64');
}

function known(
  recoveryFor: HybridPublicKey | undefined,
  claimed: Partial<BundleKek> = {},
): BundleKek {
  const { material: _, ...rest } = knownKek(genuine, recoveryFor, [host], claimed);
  return rest;
}

const importing = (bundle: string): string[] => ['key', 'import', bundle, '--expect', made.fp];

test('a swapped bundle: the KEK of somebody else is refused, whatever it calls itself', async () => {
  const theirs = known(recoveryKey);
  await refused(b, /is not expected/, ...importing(bundleWith({ keks: [theirs] })));
  const stolen = known(recoveryKey, { fp: made.fp, check: kek.check });
  await refused(b, /another one/, ...importing(bundleWith({ keks: [stolen] })));
  const both = bundleWith({ keks: [kek, theirs] });
  await refused(b, /is not expected/, ...importing(both));
  const second = known(recoveryKey, { fp: 'ab'.repeat(16) });
  const mixed = bundleWith({ keks: [kek, second] });
  await refused(b, /another one/, ...importing(mixed), '--expect', second.fp);
});

test('a wrong or missing expected fingerprint is refused', async () => {
  const wrong = '0'.repeat(32);
  await refused(b, /is not expected/, 'key', 'import', made.bundle, '--expect', wrong);
  await refused(b, /is not in the bundle/, ...importing(made.bundle), '--expect', wrong);
  for (const args of [[], ['--expect', 'abc'], ['--expect', made.fp.toUpperCase()]]) {
    assert.equal((await b.run('key', 'import', made.bundle, ...args)).exitCode, 2);
  }
});

test('flipped bits are refused: on the way, and with a checksum made right', async () => {
  const bytes = readFileSync(made.bundle);
  for (const at of [10, 100, bytes.length >> 1, bytes.length - 10]) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    await refused(b, /is not a whole kleidi bundle/, ...importing(fileWith(damaged)));
  }
  for (const bit of [0, 7, 1_000, 3_071]) {
    const damaged = withPart('host', (wrapped) => flipped(wrapped, bit));
    await refused(b, /cannot be opened|another one/, ...importing(damaged));
  }
  const shorter = withPart('host', (wrapped) => wrapped.slice(0, -4).padEnd(512, 'A'));
  await refused(b, /cannot be opened|another one/, ...importing(shorter));
});

test('what the bundle says of the KEK cannot be changed: ring, time, recovery', async () => {
  const foreign = known(newHybridKey());
  const stolen = foreign.recipients.filter(({ role }) => role === 'recovery');
  const hostPart = kek.recipients.filter(({ role }) => role === 'host');
  const changes: readonly (readonly [string, string])[] = [
    ['time', kekWith({ created: '2020-01-01T00:00:00.000Z' })],
    ['no recovery', kekWith({ recipients: hostPart })],
    ['a recovery key of somebody else', kekWith({ recipients: [...stolen, ...hostPart] })],
    ['a recovery part that opens nothing', withPart('recovery', (wrapped) => flipped(wrapped, 9))],
    ['mac', kekWith({ mac: '0'.repeat(32) })],
  ];
  for (const [, bundle] of changes)
    await refused(b, /bundle says of it was changed/, ...importing(bundle));
  const hash = kekWith({ oaepHash: 'sha256' });
  await refused(b, /cannot be opened|was changed/, ...importing(hash));
});

test('a recovery part is hybrid or none: neither its alg, its layer, its id nor its KEK changes', async () => {
  const hostPart = kek.recipients.filter(({ role }) => role === 'host');
  const part = recoveryPart(kek);
  assert.ok(part);
  const bundleOf = (changed: object): string =>
    kekWith({ recipients: [{ ...part, ...changed }, ...hostPart] });
  const second = known(recoveryKey);
  const theirs = recoveryPart(second)?.wrapped ?? '';
  const [{ wrapped: rsa = '' } = {}] = hostPart;
  const form = /keks\[0\] is not as it must be/;
  const cases: readonly (readonly [RegExp, RegExp, string])[] = [
    // [at the host that imports, on the offline machine, what the attacker wrote]
    [form, form, bundleOf({ alg: 'rsa-oaep', wrapped: rsa })],
    [form, form, bundleOf({ alg: 'rsa-oaep' })],
    [form, form, bundleOf({ alg: undefined })],
    [form, form, bundleOf({ wrapped: rsa })],
    [
      /was changed/,
      /KEK .*for recovery key sha256:(ab)+/,
      bundleOf({ recipient: 'ab'.repeat(32) }),
    ],
    [/was changed/, /KEK .* cannot be opened/, bundleOf({ wrapped: theirs })],
    [/was changed/, /KEK .* cannot be opened/, bundleOf({ wrapped: flipped(part.wrapped, 9) })],
    [
      /was changed/,
      /KEK .* cannot be opened/,
      bundleOf({ wrapped: flipped(part.wrapped, 16_000) }),
    ],
  ];
  for (const [atHost, offline, bundle] of cases) {
    await refused(b, atHost, ...importing(bundle));
    const test = ['recovery', 'test', bundle, '--key', recovery.key, '--passphrase-fd', '0'];
    const { exitCode, stderr } = await kleidi(test, { input: passphrase });
    assert.equal(exitCode, 1);
    assert.match(stderr, offline);
  }
});

test('a KEK whose check is another one is refused, by the token and offline', async () => {
  const bundle = kekWith({ check: '0f'.repeat(16) });
  await refused(b, /the key inside is another one/, ...importing(bundle));
  const test = ['recovery', 'test', bundle, '--key', recovery.key, '--passphrase-fd', '0'];
  const { exitCode, stderr } = await kleidi(test, { input: passphrase });
  assert.equal(exitCode, 1);
  assert.match(stderr, /the key inside is another one/);
});

test('a KEK that is in the ring already comes in with no other recovery key', async () => {
  const member = await tokenOnlyHost();
  const material = randomBytes(32);
  const bundleFor = async (key: HybridPublicKey): Promise<[string, string]> => {
    const asked = await readRequest((await requestOf(member)).path);
    const { material: _, ...made } = knownKek(genuine, key, [asked], {}, material);
    return [made.fp, fileWith(formatBundle(genuine, [made]))];
  };
  const [fp, first] = await bundleFor(recoveryKey);
  await importInto(member, { fp, bundle: first });
  // Whoever holds the KEK can make a right MAC for it.
  const [, second] = await bundleFor(newHybridKey());
  const again = ['key', 'import', second, '--expect', fp];
  await refused(member, /wrapped for another recovery key in the bundle/, ...again);
});

test('a bundle of format 1 is refused', async () => {
  const text = readFileSync(made.bundle, 'utf8').replace('"format": 2', '"format": 1');
  await refused(b, /reads format 2/, ...importing(fileWith(text)));
});

test('a bundle of another ring is refused, also under the name of this one', async () => {
  const other = await tokenOnlyHost('other');
  const open = await requestOf(other);
  const theirs = await createFor(other, [open]);
  await refused(b, /of ring 'other'/, 'key', 'import', theirs.bundle, '--expect', theirs.fp);

  // The host is wanted in the other ring, and asks there; the bundle is renamed.
  const ring = readFileSync(b.ringPath);
  writeFileSync(b.ringPath, formatRing(emptyRing('other')));
  const asked = await requestOf(b);
  const foreign = await createFor(other, [asked]);
  writeFileSync(b.ringPath, ring);
  const renamed = bundleWith({ keks: (await readBundle(foreign.bundle)).keks });
  const args = ['key', 'import', renamed, '--expect', foreign.fp];
  await refused(b, /bundle says of it was changed/, ...args);
});

test('a bundle for another host is refused, with and without an open request there', async () => {
  await refused(c, /not wrapped for an open request of this host/, ...importing(made.bundle));
  await requestOf(c);
  await refused(c, /not wrapped for an open request of this host/, ...importing(made.bundle));
});

test('after all that the genuine bundle is taken; replayed it changes nothing, also once the KEK is gone', async () => {
  const before = readFileSync(b.ringPath);
  await importInto(b, made);
  assert.equal(b.ring.keks[0]?.fp, made.fp);
  const objects = await tokenObjects(b);
  assert.deepEqual(
    objects.map(({ id }) => id),
    [made.fp],
    'the transport key is gone',
  );
  const after = await everythingOf(b);
  await importInto(b, made);
  assert.deepEqual(await everythingOf(b), after);

  // The ring file alone was lost: what the token holds is entered again.
  writeFileSync(b.ringPath, before);
  await importInto(b, made);
  assert.deepEqual(await everythingOf(b), after);

  // The KEK is destroyed some day: an old bundle must not bring it back.
  writeFileSync(b.ringPath, before);
  await destroyObjects(b, made.fp);
  await refused(b, /not wrapped for an open request/, ...importing(made.bundle));
  await requestOf(b);
  await refused(b, /not wrapped for an open request/, ...importing(made.bundle));
});
