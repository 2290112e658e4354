// Keys that are too weak to carry a KEK or to be one: refused at every door, and
// token, ring and files as they were.
import assert from 'node:assert/strict';
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatBundle } from '../../src/keyring/bundle.ts';
import { recipientOf } from '../../src/keyring/publickey.ts';
import { formatRecoveryKey } from '../../src/keyring/recoverypublickey.ts';
import { formatRequest, makeRequest, readRequest } from '../../src/keyring/request.ts';
import { requestOf, requireRefusal, tokenOnlyHost } from '../support/ceremony.ts';
import { temporaryFolder } from '../support/folder.ts';
import { knownKek, named, newHybridKey } from '../support/recoveryset.ts';
import { tokenObjects } from '../support/tokenobjects.ts';

const folder = temporaryFolder();
const host = await tokenOnlyHost();
const request = await requestOf(host);
const genuine = await readRequest(request.path);
const whole = newHybridKey();
const publicFile = formatRecoveryKey(whole);
let files = 0;

function fileWith(text: string): string {
  const path = join(folder, `file-${files++}`);
  writeFileSync(path, text);
  return path;
}

async function refused(reason: RegExp, ...args: string[]): Promise<void> {
  await requireRefusal(host, reason, ...args);
}

/** As RSA: any modulus of this length, odd as one is. */
function rsaKey(bits: number, exponent: bigint): KeyObject {
  const n = randomBytes(bits / 8);
  n[0] = 0x80 | (n[0] ?? 0);
  n[n.length - 1] = 1 | (n[n.length - 1] ?? 0);
  const hex = exponent.toString(16);
  const e = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  const jwk = { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') };
  return createPublicKey({ key: jwk, format: 'jwk' });
}

const weak: readonly (readonly [KeyObject, RegExp])[] = [
  [rsaKey(3072, 1n), /its exponent is 1, which must be odd and 65537 or more/],
  [rsaKey(3072, 3n), /its exponent is 3,/],
  [rsaKey(4096, 65_536n), /its exponent is 65536,/],
  [rsaKey(4096, 65_538n), /its exponent is 65538,/],
  [rsaKey(2048, 65_537n), /it has 2048 bits, allowed are 3072 to 8192/],
  [rsaKey(3064, 65_537n), /it has 3064 bits/],
  [rsaKey(8200, 65_537n), /it has 8200 bits/],
  [rsaKey(16_384, 65_537n), /it has 16384 bits/],
  [generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey, /not an RSA key but ec/],
  [generateKeyPairSync('rsa-pss', { modulusLength: 3072 }).publicKey, /not an RSA key but rsa-pss/],
];

test('a recovery key that is too weak is refused, also where its fingerprint is the right one', async () => {
  for (const [key, reason] of weak) {
    const pem = key.export({ type: 'spki', format: 'pem' });
    const file = { ...JSON.parse(publicFile), rsaPublicKey: pem };
    const rsa = key.export({ type: 'spki', format: 'der' });
    const id = createHash('sha256').update('kleidi/v2 recovery-key ').update(rsa).update(whole.kem);
    const sha256 = id.digest('hex');
    const path = fileWith(JSON.stringify({ ...file, sha256 }));
    await refused(reason, 'key', 'create', '--recovery', `${path}=${sha256}`);
  }
});

test('a recovery key of one half, of a weaker ML-KEM, or with halves of two is refused', async () => {
  const file = JSON.parse(publicFile) as Record<string, unknown>;
  const rsaPem = String(file['rsaPublicKey']);
  const small = generateKeyPairSync('ml-kem-768').publicKey.export({ type: 'spki', format: 'pem' });
  const other = JSON.parse(formatRecoveryKey(newHybridKey())) as Record<string, unknown>;
  const { rsaPublicKey: _, ...kemOnly } = file;
  const { mlKemPublicKey: __, ...rsaOnly } = file;
  const cases: readonly (readonly [RegExp, string])[] = [
    [/one PEM key.*hint: .*kleidi recovery create/s, rsaPem],
    [/private/, whole.rsaPrivate.export({ type: 'pkcs8', format: 'pem' }).toString()],
    [/not hold an RSA and an ML-KEM/, JSON.stringify(kemOnly)],
    [/not hold an RSA and an ML-KEM/, JSON.stringify(rsaOnly)],
    [/not an ML-KEM-1024 key but ml-kem-768/, JSON.stringify({ ...file, mlKemPublicKey: small })],
    [/not an ML-KEM-1024 key but rsa/, JSON.stringify({ ...file, mlKemPublicKey: rsaPem })],
    [/sha256 is not the one/, JSON.stringify({ ...file, rsaPublicKey: other['rsaPublicKey'] })],
    [/sha256 is not the one/, JSON.stringify({ ...file, mlKemPublicKey: other['mlKemPublicKey'] })],
    [/not of format 2: make a new/, JSON.stringify({ ...file, format: 1 })],
    [/its kind is not/, JSON.stringify({ ...file, kind: 'kleidi-recovery-key' })],
    [/fields that are unknown/, JSON.stringify({ ...file, extra: 1 })],
    [/is not a recovery key/, 'null'],
  ];
  for (const [reason, text] of cases) {
    const named = `${fileWith(text)}=${whole.fingerprint}`;
    await refused(reason, 'key', 'create', '--recovery', named);
    await refused(reason, 'provision', '--recovery', named);
  }
});

test('a request with a key that is too weak is refused', async () => {
  const create = ['key', 'create', '--out', join(folder, 'never'), '--for'];
  for (const [key, reason] of weak) {
    const spki = key.export({ type: 'spki', format: 'der' });
    const weakRequest = makeRequest({ spki, recipient: recipientOf(spki) }, 'test', 'cp2');
    const path = fileWith(formatRequest(weakRequest));
    await refused(reason, ...create, `${path}=${weakRequest.fingerprint}`);
  }
});

test('a KEK of 16 or 24 bytes is refused, one of 32 is taken', async () => {
  const bundleOf = (bytes: number): { fp: string; path: string } => {
    const { material, ...kek } = knownKek(
      named('test'),
      undefined,
      [genuine],
      {},
      randomBytes(bytes),
    );
    assert.equal(material.length, bytes);
    return { fp: kek.fp, path: fileWith(formatBundle(named('test'), [kek])) };
  };
  for (const bytes of [16, 24]) {
    const { fp, path } = bundleOf(bytes);
    await refused(/it has not 32 bytes/, 'key', 'import', path, '--expect', fp);
  }
  const { fp, path } = bundleOf(32);
  const { exitCode, stderr } = await host.run('key', 'import', path, '--expect', fp);
  assert.equal(exitCode, 0, stderr);
  const objects = await tokenObjects(host);
  assert.deepEqual(
    objects.map(({ id }) => id),
    [fp],
  );
});
