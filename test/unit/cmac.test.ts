// AES-CMAC against the vectors of RFC 4493 (AES-128) and NIST SP 800-38B
// (AES-256), and what a KEK is known by against the tests' own computation.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { aesCmac, identityOfKek } from '../../src/keyring/cmac.ts';
import { checkOfKey, fingerprintOfKey } from '../support/cmac.ts';

const message = Buffer.from(
  '6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51' +
    '30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710',
  'hex',
);
const vectors = [
  {
    key: '2b7e151628aed2a6abf7158809cf4f3c',
    macs: {
      0: 'bb1d6929e95937287fa37d129b756746',
      16: '070a16b46b4d4144f79bdd9dd04a287c',
      40: 'dfa66747de9ae63030ca32611497c827',
      64: '51f0bebf7e3b9d92fc49741779363cfe',
    },
  },
  {
    key: '603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4',
    macs: {
      0: '028962f61b7bf89efc6b551f4667d983',
      16: '28a7023f452e8f82bd4bf28d8c37c35c',
      40: 'aaf3d8f1de5640c232f5b169b9c911e6',
      64: 'e1992190549f6ed5696a2c056c315410',
    },
  },
] as const;

for (const { key, macs } of vectors) {
  test(`AES-${4 * key.length}-CMAC gives the published values`, () => {
    for (const [length, mac] of Object.entries(macs)) {
      const part = message.subarray(0, Number(length));
      assert.equal(aesCmac(Buffer.from(key, 'hex'), part).toString('hex'), mac, length);
    }
  });
}

test('the message is not changed, whatever its length', () => {
  const key = randomBytes(32);
  for (const length of [0, 1, 15, 16, 17, 32, 64]) {
    const given = Buffer.from(message.subarray(0, length));
    aesCmac(key, given);
    assert.deepEqual(given, message.subarray(0, length));
  }
});

test('fingerprint and check offline are those that the tests compute for themselves', () => {
  for (let i = 0; i < 50; i += 1) {
    const kek = randomBytes(32);
    assert.deepEqual(identityOfKek(kek), { fp: fingerprintOfKey(kek), check: checkOfKey(kek) });
  }
});
