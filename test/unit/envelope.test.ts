// Ciphertexts of format 1: the vectors, in a real token and beside it, and
// every single-bit change.
import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../src/errors.ts';
import {
  additionalData,
  header,
  open,
  requirePlaintext,
  seal,
} from '../../src/keyring/envelope.ts';
import { parseKeyId } from '../../src/keyring/keyid.ts';
import { decrypt } from '../../src/providers/pkcs11/gcm.ts';
import { identityOf } from '../../src/providers/pkcs11/identity.ts';
import { checkOfKey, fingerprintOfKey } from '../support/cmac.ts';
import { memoryToken } from '../support/memorytoken.ts';

interface Vector {
  readonly kek: string;
  readonly fp: string;
  readonly keyId: string;
  readonly plaintext: string;
  readonly ciphertext: string;
}

const file = new URL('../vectors/envelope-v1.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vector[];
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');

/** As the service does it, with node:crypto in the token's place. */
function openWithout(kek: string, ciphertext: Buffer, keyId: string): Buffer {
  const { alg, fp, body } = open(ciphertext);
  if (parseKeyId(keyId).fp !== fp) throw new KleidiError('key-id-mismatch', 'mismatch');
  const decipher = createDecipheriv('aes-256-gcm', bytes(kek), body.subarray(0, 12));
  decipher.setAAD(additionalData(alg, fp, keyId));
  decipher.setAuthTag(body.subarray(-16));
  return Buffer.concat([decipher.update(body.subarray(12, -16)), decipher.final()]);
}

test('every vector opens with node:crypto to its plaintext', () => {
  for (const { kek, fp, keyId, plaintext, ciphertext } of vectors) {
    assert.equal(fingerprintOfKey(bytes(kek)), fp);
    assert.equal(openWithout(kek, bytes(ciphertext), keyId).toString('hex'), plaintext);
  }
});

test('every vector opens in a real token to its plaintext', async () => {
  const { api, session } = await memoryToken();
  for (const { kek, fp, keyId, plaintext, ciphertext } of vectors) {
    const key = api.C_CreateObject(session, [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
      { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_AES },
      { type: pkcs11js.CKA_TOKEN, value: false },
      { type: pkcs11js.CKA_SIGN, value: true },
      { type: pkcs11js.CKA_DECRYPT, value: true },
      { type: pkcs11js.CKA_VALUE, value: bytes(kek) },
    ]);
    assert.deepEqual(identityOf(api, session, key), { fp, check: checkOfKey(bytes(kek)) });
    const envelope = open(bytes(ciphertext));
    const aad = additionalData(envelope.alg, envelope.fp, keyId);
    const call = { api, session, key, mode: 'synchronous' } as const;
    assert.equal((await decrypt(call, envelope.body, aad)).toString('hex'), plaintext);
  }
});

test('every single-bit change of ciphertext or key id is refused', () => {
  const [vector] = vectors;
  assert.ok(vector !== undefined);
  const { kek, keyId } = vector;
  const ciphertext = bytes(vector.ciphertext);
  assert.equal(ciphertext.length, 80);
  const flips = (text: Buffer): Buffer[] =>
    Array.from({ length: text.length * 8 }, (_, bit) => {
      const copy = Buffer.from(text);
      copy.writeUInt8(copy.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      return copy;
    });
  for (const flipped of flips(ciphertext)) {
    assert.throws(() => openWithout(kek, flipped, keyId), flipped.toString('hex'));
  }
  for (const flipped of flips(Buffer.from(keyId))) {
    assert.throws(
      () => openWithout(kek, ciphertext, flipped.toString('latin1')),
      flipped.toString(),
    );
  }
});

test('what is sealed is taken apart to the same, byte by byte as written down', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.uint8Array({ minLength: 29, maxLength: 928 }),
      (fpBytes, bodyBytes) => {
        const fp = Buffer.from(fpBytes).toString('hex');
        const sealed = seal({ alg: 1, fp, body: Buffer.from(bodyBytes) });
        assert.equal(sealed.subarray(0, 4).toString('latin1'), 'kl\x01\x01');
        assert.deepEqual(sealed.subarray(0, 20), header(1, fp));
        assert.deepEqual(open(sealed), { alg: 1, fp, body: Buffer.from(bodyBytes) });
      },
    ),
  );
});

test('whatever is too short, too long or foreign is refused before any token call', () => {
  const whole = bytes(vectors[0]?.ciphertext ?? '');
  const bad = [
    ...Array.from({ length: 49 }, (_, length) => whole.subarray(0, length)),
    Buffer.concat([whole, Buffer.alloc(945)]),
    Buffer.concat([Buffer.from('KL'), whole.subarray(2)]),
  ];
  for (const ciphertext of bad) {
    assert.throws(() => open(ciphertext), { code: 'ciphertext-invalid' });
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1100 }), (random) => {
      assert.throws(() => open(Buffer.from(random)), { code: 'ciphertext-invalid' });
    }),
  );
});

test('the longest plaintext of each algorithm gives a ciphertext that opens, one byte more is refused', () => {
  const fp = '00'.repeat(16);
  const sealedBytes = (plaintextBytes: number): number => 12 + plaintextBytes + 16;
  const transitText = (bytes: number): string =>
    `vault:v999999999:${Buffer.alloc(bytes).toString('base64')}`;
  const bodies = new Map([
    [1, Buffer.alloc(sealedBytes(900))],
    [2, Buffer.from(transitText(sealedBytes(700)))],
  ]);
  for (const [alg, most] of [
    [1, 900],
    [2, 700],
  ] as const) {
    const body = bodies.get(alg) ?? Buffer.alloc(0);
    assert.deepEqual(open(seal({ alg, fp, body })), { alg, fp, body });
    requirePlaintext(Buffer.alloc(most), alg);
    for (const bytes of [0, most + 1]) {
      const refused = { code: 'plaintext-invalid', message: /bytes, allowed .*1 to/ };
      assert.throws(() => requirePlaintext(Buffer.alloc(bytes), alg), refused);
    }
  }
});
