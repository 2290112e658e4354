// test/vectors/formats-v2.json: what docs/formats.md says, made by a program that has
// nothing of kleidi's.
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, privateDecrypt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatBackup, parseBackup, requirePinnedParts } from '../../src/keyring/backup.ts';
import {
  formatBundle,
  formatRecoveryBundle,
  macText,
  vouchedOf,
} from '../../src/keyring/bundle.ts';
import { parseBundle } from '../../src/keyring/bundlefile.ts';
import { aesCmac, identityOfKek } from '../../src/keyring/cmac.ts';
import { openableDigest, ringDigest } from '../../src/keyring/digest.ts';
import { unwrapPin } from '../../src/keyring/pinpart.ts';
import { rewrapKek, testKek } from '../../src/keyring/recovery.ts';
import { openRecoveryKey } from '../../src/keyring/recoverykey.ts';
import { formatRecoveryKey, readRecoveryKey } from '../../src/keyring/recoverypublickey.ts';
import { formatRequest, parseRequest } from '../../src/keyring/request.ts';
import { formatRing, parseRing } from '../../src/keyring/ring.ts';
import { ringIdFrom } from '../../src/keyring/ringid.ts';
import { vouchText } from '../../src/keyring/voucher.ts';
import { temporaryFolder } from '../support/folder.ts';
import { formatVectors } from '../support/formatvectors.ts';

const vectors = formatVectors();
const folder = temporaryFolder();
const bundle = parseBundle(vectors.bundle.text, 'bundle');
const kekOf = new Map(vectors.identities.map(({ fp, kek }) => [fp, Buffer.from(kek, 'hex')]));
const materialOf = (fp: string): Buffer => kekOf.get(fp) ?? assert.fail(`no KEK ${fp}`);

function placed(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const privatePath = placed('recovery.key', vectors.recovery.privateFile);
const key = await openRecoveryKey(privatePath, Buffer.from(vectors.recovery.passphrase));

test('fingerprint and check of a KEK, and the ringId of one in Vault', () => {
  for (const { kek, fp, check } of vectors.identities) {
    assert.deepEqual(identityOfKek(Buffer.from(kek, 'hex')), { fp, check });
  }
  for (const { ringId, ...kek } of vectors.ringIds) assert.equal(ringIdFrom(kek), ringId);
});

test('a ring and its digests', () => {
  const { text, digest, openableDigest: openable } = vectors.ring;
  const ring = parseRing(text, 'ring');
  assert.deepEqual([ringDigest(ring), openableDigest(ring)], [digest, openable]);
  assert.equal(formatRing(ring), text);
  assert.deepEqual(bundle.carried, ring);
});

test('a request and its fingerprint', () => {
  const { text, fingerprint, recipient } = vectors.request;
  const request = parseRequest(text);
  assert.deepEqual([request.fingerprint, request.recipient], [fingerprint, recipient]);
  assert.equal(formatRequest(request), text);
});

test('a bundle is read, and written as the same text', () => {
  const [first] = bundle.keks;
  assert.ok(first);
  assert.equal(formatBundle(bundle, bundle.keks, bundle.carried), vectors.bundle.text);
  assert.equal(formatRecoveryBundle(bundle, first), vectors.bundle.recoveryText);
  assert.equal(parseBundle(vectors.bundle.recoveryText, 'bundle').carried, null);
});

test('MACs and vouchers are those of the KEKs', () => {
  const cmac = (fp: string, text: string): string =>
    aesCmac(materialOf(fp), Buffer.from(text)).toString('hex');
  for (const kek of bundle.keks) {
    assert.equal(cmac(kek.fp, macText(bundle, kek)), kek.mac);
    for (const { by, mac } of kek.vouchers) {
      assert.equal(cmac(by, vouchText(bundle.ringId, vouchedOf(kek))), mac);
    }
  }
  assert.deepEqual(
    bundle.keks.map(({ vouchers }) => vouchers.length),
    [0, 1, 2],
  );
});

test('the part for the host opens with its key', () => {
  const host = createPrivateKey({
    key: Buffer.from(vectors.hostPrivate, 'base64'),
    ...{ format: 'der', type: 'pkcs8' },
  });
  const spki = createPublicKey(host).export({ format: 'der', type: 'spki' });
  assert.equal(parseRequest(vectors.request.text).spki.equals(spki), true);
  for (const { fp, oaepHash, recipients } of bundle.keks) {
    const part = recipients.find(({ role }) => role === 'host') ?? assert.fail('no part');
    const opened = privateDecrypt({ key: host, oaepHash }, Buffer.from(part.wrapped, 'base64'));
    assert.deepEqual(opened, materialOf(fp));
  }
});

test('the recovery key opens its parts, KEKs and PIN', async () => {
  const { id, publicFile } = vectors.recovery;
  assert.equal(key.fingerprint, id);
  assert.equal(formatRecoveryKey(key), publicFile);
  const read = await readRecoveryKey(`${placed('recovery.pub', publicFile)}=${id}`);
  assert.equal(read.confirmed, true);
  const [first, second, third] = bundle.keks;
  assert.ok(first && second && third);
  testKek(bundle, first, key, bundle.keks);
  testKek(bundle, second, key, bundle.keks);
  assert.throws(() => testKek(bundle, third, key), /made without a recovery key/);
  const host = parseRequest(vectors.request.text);
  assert.equal(rewrapKek(bundle, first, key, [host]).mac, first.mac);
  assert.equal(unwrapPin(vectors.pin.text, 'pin', key).toString(), vectors.pin.pin);
});

test('a backup is read, and written as the same text', () => {
  const { text } = vectors.backup;
  const backup = parseBackup(text, 'backup');
  assert.equal(formatBackup(backup), text);
  requirePinnedParts(backup.ring, backup.bundles);
  assert.deepEqual(backup.ring, bundle.carried);
});

test('a backup says the same in any order of its fields, and nothing unknown', () => {
  const backup = JSON.parse(vectors.backup.text) as Record<string, unknown>;
  const reversed = (value: object) => Object.fromEntries(Object.entries(value).reverse());
  const other = { ...reversed(backup), ring: reversed(backup['ring'] as object) };
  const read = parseBackup(JSON.stringify(other), 'backup');
  assert.equal(formatBackup(read), vectors.backup.text);
  const [file] = backup['configuration'] as object[];
  for (const change of [
    { note: '' },
    { created: '2026' },
    { configuration: [{ ...file, mode: 0 }] },
  ]) {
    assert.throws(() => parseBackup(JSON.stringify({ ...backup, ...change }), 'backup'), {
      message: /fields that are unknown|a field of it is not right/,
    });
  }
});
