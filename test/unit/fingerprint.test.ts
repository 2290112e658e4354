// A KEK by the first digits of its fingerprint: one that the ring holds, or none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { selectFingerprint } from '../../src/admin/keys/held.ts';
import { emptyRing, type Ring } from '../../src/keyring/ring.ts';
import { stage } from '../../src/keyring/transitions.ts';

const fps = ['0123456789abcdef0123456789abcdef', '0123456789ffffff0123456789abcdef'] as const;
const ringId = '5e'.repeat(16);
const ring: Ring = fps.reduce(
  (so, fp) => stage(so, { fp, check: fp, provider: 'pkcs11', recovery: null, created: '' }, ringId),
  emptyRing('prod'),
);
const usage = { code: 'usage' };

test('eight digits or more select the one KEK that begins with them', () => {
  assert.equal(selectFingerprint(ring, '0123456789a'), fps[0]);
  assert.equal(selectFingerprint(ring, '0123456789ff'), fps[1]);
  assert.equal(selectFingerprint(ring, fps[0]), fps[0]);
  const other = 'ab'.repeat(16);
  assert.equal(selectFingerprint(ring, other), other, 'in the token alone, perhaps');
});

test('fewer digits, digits of two KEKs, of none, and what is no fingerprint are refused', () => {
  assert.throws(() => selectFingerprint(ring, '0123456'), usage);
  assert.throws(() => selectFingerprint(ring, '01234567'), {
    ...usage,
    message: /cdef, 0123.*\?$/,
  });
  assert.throws(() => selectFingerprint(ring, 'ffffffff'), {
    ...usage,
    message: /no KEK of the ring/,
  });
  for (const text of [undefined, '', '0123456789A', `${fps[0]}0`, '0123456789a*', '../0123456']) {
    assert.throws(() => selectFingerprint(ring, text), usage, text);
  }
});
