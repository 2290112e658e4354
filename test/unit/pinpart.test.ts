// The PIN, wrapped for the recovery key: opens with that key alone, and is no KEK.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { unwrapPin, wrapPin } from '../../src/keyring/pinpart.ts';
import { publicKeyOfObject } from '../../src/keyring/publickey.ts';
import { asRecoveryKey } from '../../src/keyring/recipient.ts';
import { wrapFor } from '../support/recoveryset.ts';

const pin = 'correct-horse-battery';

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 3072 });
  return {
    ...asRecoveryKey(publicKeyOfObject(privateKey)),
    privateKey,
    path: 'key',
    confirmed: true,
  };
}

const key = newKey();
const text = wrapPin(pin, 'kleidi', key);

test('opens with its key, and shows nothing of the PIN', () => {
  assert.equal(unwrapPin(text, 'file', key).toString(), pin);
  assert.ok(!text.includes(pin));
  assert.ok(!text.includes(Buffer.from(pin).toString('base64')));
  assert.equal((JSON.parse(text) as Record<string, unknown>)['recovery'], key.fingerprint);
});

test('another key is refused, by its fingerprint', () => {
  const expected = { code: 'refused', message: new RegExp(`sha256:${key.fingerprint}`) };
  assert.throws(() => unwrapPin(text, 'file', newKey()), expected);
});

test('a KEK in the place of the PIN does not come out', () => {
  const stolen = { ...JSON.parse(text), wrapped: wrapFor(key, Buffer.alloc(32, 1)) };
  assert.throws(() => unwrapPin(JSON.stringify(stolen), 'file', key), { code: 'refused' });
});

for (const [name, broken] of Object.entries({
  'no JSON': '{',
  'another kind': JSON.stringify({ ...JSON.parse(text), kind: 'kleidi-bundle' }),
  'another format': JSON.stringify({ ...JSON.parse(text), format: 2 }),
  'a damaged part': JSON.stringify({ ...JSON.parse(text), wrapped: 'AAAA' }),
})) {
  test(`refused with the file's name: ${name}`, () => {
    assert.throws(() => unwrapPin(broken, 'some/file', key), {
      code: 'refused',
      message: /some\/file/,
    });
  });
}
