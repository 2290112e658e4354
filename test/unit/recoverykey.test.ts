// The recovery key: its file, and what it makes of bundles that were tampered with.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants, generateKeyPairSync, privateDecrypt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BundleKek } from '../../src/keyring/bundle.ts';
import { publicKeyOfObject } from '../../src/keyring/publickey.ts';
import { rewrapKek, testKek } from '../../src/keyring/recovery.ts';
import { makeRecoveryKey, openRecoveryKey } from '../../src/keyring/recoverykey.ts';
import { temporaryFolder } from '../support/folder.ts';
import { knownKek, passphrase } from '../support/recoveryset.ts';
import { missingTool } from '../support/skip.ts';

const folder = temporaryFolder();
const path = join(folder, 'recovery.key');
const made = await makeRecoveryKey(Buffer.from(passphrase));
writeFileSync(path, made.file);
const key = await openRecoveryKey(path, Buffer.from(passphrase));
const kek = knownKek('prod', key, []);

test('the file opens with its passphrase alone', async () => {
  assert.equal(key.fingerprint, made.fingerprint);
  assert.equal(key.privateKey.asymmetricKeyDetails?.modulusLength, 4096);
  for (const wrong of ['', 'six random words to test wit', `${passphrase} `]) {
    await assert.rejects(openRecoveryKey(path, Buffer.from(wrong)), { code: 'refused' });
  }
});

test('without kleidi, openssl opens it', { skip: missingTool('openssl') }, () => {
  const { privateKey } = JSON.parse(made.file) as { privateKey: string };
  const pem = join(folder, 'recovery.pem');
  writeFileSync(pem, privateKey);
  const args = ['pkey', '-in', pem, '-passin', `pass:${passphrase}`, '-pubout', '-outform', 'DER'];
  assert.deepEqual(execFileSync('openssl', args), key.spki);
});

test('a PEM file is read too, and what is no such file is named', async () => {
  const pem = join(folder, 'openssl.pem');
  const options = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase } as const;
  writeFileSync(pem, key.privateKey.export(options));
  const again = await openRecoveryKey(pem, Buffer.from(passphrase));
  assert.equal(again.fingerprint, key.fingerprint);
  for (const text of [
    '',
    '{}',
    JSON.stringify({ ...JSON.parse(made.file), sha256: 'f'.repeat(64) }),
  ]) {
    writeFileSync(pem, text);
    await assert.rejects(openRecoveryKey(pem, Buffer.from(passphrase)), { code: 'refused' });
  }
  await assert.rejects(openRecoveryKey(join(folder, 'none'), Buffer.alloc(0)), {
    code: 'file-failed',
  });
});

test('it opens the KEK that it was wrapped for', () => testKek('prod', kek, key));

test('whatever a bundle says of a KEK that its maker did not, is refused', () => {
  const other = knownKek('prod', key, []);
  const part = kek.recipients[0];
  assert.ok(part);
  const own = publicKeyOfObject(generateKeyPairSync('rsa', { modulusLength: 3072 }).publicKey);
  const changes: readonly (readonly [string, Partial<BundleKek>])[] = [
    ['another KEK under this name', { recipients: other.recipients, mac: other.mac }],
    ['another name', { fp: other.fp }],
    ['another time', { created: '2025-01-02T03:04:05.678Z' }],
    ['another hash', { oaepHash: 'sha256' }],
    ['no recovery part', { recipients: [] }],
    ['a recovery key of somebody else', { recipients: knownKek('prod', own, []).recipients }],
    ['a wrapped part that was cut', { recipients: [{ ...part, wrapped: part.wrapped.slice(4) }] }],
    ['another mac', { mac: other.mac }],
  ];
  for (const [what, change] of changes) {
    assert.throws(() => testKek('prod', { ...kek, ...change }, key), { code: 'refused' }, what);
  }
  assert.throws(() => testKek('other', kek, key), { code: 'refused' }, 'another ring');
});

test('a rewrapped KEK is the same KEK, for the new host and still for the recovery key', () => {
  const pair = generateKeyPairSync('rsa', { modulusLength: 3072 });
  const host = publicKeyOfObject(pair.publicKey);
  const rewrapped = rewrapKek('prod', kek, key, [host]);
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
  testKek('prod', rewrapped, key);
});
