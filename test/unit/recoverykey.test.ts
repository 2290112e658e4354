// The recovery key: its file, and what it makes of bundles that were tampered with.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants, generateKeyPairSync, privateDecrypt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type BundleKek,
  partAlgs,
  recoveryContext,
  type WrappedKek,
} from '../../src/keyring/bundle.ts';
import { openOuter, sealOuter } from '../../src/keyring/hybrid.ts';
import { publicKeyOfObject } from '../../src/keyring/publickey.ts';
import { rewrapKek, testKek } from '../../src/keyring/recovery.ts';
import { makeRecoveryKey, openRecoveryKey } from '../../src/keyring/recoverykey.ts';
import { temporaryFolder } from '../support/folder.ts';
import { knownKek, named, newHybridKey, passphrase } from '../support/recoveryset.ts';
import { missingTool } from '../support/skip.ts';

const folder = temporaryFolder();
const path = join(folder, 'recovery.key');
const made = await makeRecoveryKey(Buffer.from(passphrase));
writeFileSync(path, made.file);
const key = await openRecoveryKey(path, Buffer.from(passphrase));
const kek = knownKek(named('prod'), key, []);

test('the file opens with its passphrase alone', async () => {
  assert.equal(key.fingerprint, made.fingerprint);
  assert.equal(key.rsaPrivate.asymmetricKeyDetails?.modulusLength, 4096);
  assert.equal(key.kemPrivate.asymmetricKeyType, 'ml-kem-1024');
  for (const wrong of ['', 'six random words to test wit', `${passphrase} `]) {
    await assert.rejects(openRecoveryKey(path, Buffer.from(wrong)), { code: 'refused' });
  }
});

test('without kleidi, openssl opens it', { skip: missingTool('openssl') }, () => {
  const file = JSON.parse(made.file) as { rsaPrivateKey: string; mlKemPrivateKey: string };
  const pem = join(folder, 'recovery.pem');
  const opened = (text: string, ...more: string[]): Buffer => {
    writeFileSync(pem, text);
    return execFileSync('openssl', ['pkey', '-in', pem, '-passin', `pass:${passphrase}`, ...more]);
  };
  assert.deepEqual(opened(file.rsaPrivateKey, '-pubout', '-outform', 'DER'), key.rsa);
  // ML-KEM came with OpenSSL 3.5: an older one can decrypt the PKCS#8, which holds the seed.
  const [, major = '0', minor = '0'] =
    / (\d+)\.(\d+)/.exec(execFileSync('openssl', ['version']).toString()) ?? [];
  if (Number(major) * 100 + Number(minor) < 305) return;
  assert.deepEqual(opened(file.mlKemPrivateKey, '-pubout', '-outform', 'DER'), key.kem);
});

test('what is no such file is named: one PEM key, format 1, another half, a changed id', async () => {
  const other = JSON.parse((await makeRecoveryKey(Buffer.from(passphrase))).file) as object;
  const file = JSON.parse(made.file) as Record<string, unknown>;
  const { rsaPrivateKey, mlKemPrivateKey, ...rest } = file;
  const wrong = join(folder, 'wrong.key');
  for (const text of [
    '',
    '{}',
    'null',
    String(rsaPrivateKey),
    JSON.stringify({ ...file, format: 1 }),
    JSON.stringify({ ...file, more: 1 }),
    JSON.stringify({ ...rest, rsaPrivateKey }),
    JSON.stringify({ ...rest, mlKemPrivateKey }),
    JSON.stringify({ ...rest, rsaPrivateKey: mlKemPrivateKey, mlKemPrivateKey: rsaPrivateKey }),
    JSON.stringify({ ...other, rsaPrivateKey }),
    JSON.stringify({ ...other, mlKemPrivateKey }),
    JSON.stringify({ ...file, sha256: 'f'.repeat(64) }),
  ]) {
    writeFileSync(wrong, text);
    await assert.rejects(
      openRecoveryKey(wrong, Buffer.from(passphrase)),
      { code: 'refused', message: /wrong\.key/ },
      text,
    );
  }
  await assert.rejects(openRecoveryKey(join(folder, 'none'), Buffer.alloc(0)), {
    code: 'file-failed',
  });
});

test('it opens the KEK that it was wrapped for', () => testKek(named('prod'), kek, key));

/** What a maker that can break ML-KEM could make of a part. */
function rsaAlone(inner: Buffer): WrappedKek {
  const wrapped = inner.toString('base64');
  return { recipient: key.fingerprint, role: 'recovery', alg: partAlgs.host, wrapped };
}

function resealed(inner: Buffer): WrappedKek {
  const wrapped = sealOuter(inner, key, recoveryContext(kek.fp)).toString('base64');
  return { ...rsaAlone(inner), alg: partAlgs.recovery, wrapped };
}

test('whatever a bundle says of a KEK that its maker did not, is refused', () => {
  const other = knownKek(named('prod'), key, []);
  const part = kek.recipients[0];
  assert.ok(part);
  const own = newHybridKey();
  const inner = openOuter(Buffer.from(part.wrapped, 'base64'), key, recoveryContext(kek.fp));
  const changes: readonly (readonly [string, Partial<BundleKek>])[] = [
    ['another KEK under this name', { recipients: other.recipients, mac: other.mac }],
    ['another name', { fp: other.fp }],
    ['another time', { created: '2025-01-02T03:04:05.678Z' }],
    ['another hash', { oaepHash: 'sha256' }],
    ['no recovery part', { recipients: [] }],
    [
      'a recovery key of somebody else',
      { recipients: knownKek(named('prod'), own, []).recipients },
    ],
    ['a wrapped part that was cut', { recipients: [{ ...part, wrapped: part.wrapped.slice(4) }] }],
    ['the outer layer is gone', { recipients: [{ ...part, wrapped: inner.toString('base64') }] }],
    ['and its alg says so', { recipients: [rsaAlone(inner)] }],
    ['another alg', { recipients: [{ ...part, alg: partAlgs.host }] }],
    ['the outer layer made anew', { recipients: [resealed(inner)] }],
    ['another recovery id', { recipients: [{ ...part, recipient: own.fingerprint }] }],
    ['the part of another KEK', { recipients: other.recipients }],
    ['another mac', { mac: other.mac }],
  ];
  for (const [what, change] of changes) {
    const changed = { ...kek, ...change };
    const expected = { code: 'refused', message: new RegExp(`KEK ${changed.fp} `) };
    assert.throws(() => testKek(named('prod'), changed, key), expected, what);
  }
  assert.throws(() => testKek(named('other'), kek, key), { code: 'refused' }, 'another ring');
});

test('a rewrapped KEK is the same KEK, for the new host and still for the recovery key', () => {
  const pair = generateKeyPairSync('rsa', { modulusLength: 3072 });
  const host = publicKeyOfObject(pair.publicKey);
  const rewrapped = rewrapKek(named('prod'), kek, key, [host]);
  assert.deepEqual(rewrapped.recipients[0], kek.recipients[0]);
  assert.equal(rewrapped.mac, kek.mac);
  const [, part] = rewrapped.recipients;
  assert.equal(part?.recipient, host.recipient);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const decrypted = privateDecrypt(
    { key: pair.privateKey, padding, oaepHash: 'sha1' },
    Buffer.from(part.wrapped, 'base64'),
  );
  assert.deepEqual(decrypted, kek.material);
  testKek(named('prod'), rewrapped, key);
});
