// The PIN, wrapped for the recovery key: opens with that key alone, and is no KEK.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unwrapPin, wrapPin } from '../../src/keyring/pinpart.ts';
import { newHybridKey, recoveryPartFor } from '../support/recoveryset.ts';

const pin = 'correct-horse-battery';

const key = newHybridKey();
const text = wrapPin(pin, 'kleidi', key);

test('opens with its key, and shows nothing of the PIN', () => {
  assert.equal(unwrapPin(text, 'file', key).toString(), pin);
  assert.ok(!text.includes(pin));
  assert.ok(!text.includes(Buffer.from(pin).toString('base64')));
  assert.equal((JSON.parse(text) as Record<string, unknown>)['recovery'], key.fingerprint);
});

test('another key is refused, by its fingerprint', () => {
  const expected = { code: 'refused', message: new RegExp(`sha256:${key.fingerprint}`) };
  assert.throws(() => unwrapPin(text, 'file', newHybridKey()), expected);
});

test('a KEK in the place of the PIN does not come out', () => {
  const { wrapped } = recoveryPartFor(key, 'ab'.repeat(16), Buffer.alloc(32, 1));
  const stolen = { ...JSON.parse(text), wrapped };
  assert.throws(() => unwrapPin(JSON.stringify(stolen), 'file', key), { code: 'refused' });
});

for (const [name, broken] of Object.entries({
  'no JSON': '{',
  'another kind': JSON.stringify({ ...JSON.parse(text), kind: 'kleidi-bundle' }),
  'format 1': JSON.stringify({ ...JSON.parse(text), format: 1 }),
  'another field': JSON.stringify({ ...JSON.parse(text), more: 1 }),
  'RSA alone': JSON.stringify({ ...JSON.parse(text), alg: 'rsa-oaep' }),
  'the token of another host': JSON.stringify({ ...JSON.parse(text), token: 'other' }),
  'a damaged part': JSON.stringify({ ...JSON.parse(text), wrapped: 'AAAA' }),
})) {
  test(`refused with the file's name: ${name}`, () => {
    assert.throws(() => unwrapPin(broken, 'some/file', key), {
      code: 'refused',
      message: /some\/file/,
    });
  });
}
