// The two layers of a recovery part: both must open, for this key and this context alone.
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { hybridOf, open, openOuter, seal, sealOuter } from '../../src/keyring/hybrid.ts';
import { mlKemSeedPkcs8 } from '../../src/keyring/pkcs8.ts';
import { newHybridKey } from '../support/recoveryset.ts';

const key = newHybridKey();
const oaep = { oaepHash: 'sha1' } as const;
const plaintext = Buffer.alloc(32, 7);
const sealed = seal(plaintext, key, 'kek a', oaep);

test('opens with its key and its context, and is another one each time', () => {
  assert.deepEqual(open(sealed, key, 'kek a', oaep), plaintext);
  assert.equal(sealed.length, 1568 + 512 + 16);
  assert.notDeepEqual(seal(plaintext, key, 'kek a', oaep), sealed);
});

test('refused: another context, another hash, a cut one', () => {
  const wrong: readonly (() => Buffer)[] = [
    () => open(sealed, key, 'kek b', oaep),
    () => open(sealed, key, 'kek a', { oaepHash: 'sha256' }),
    ...[0, 1568, 1584, 1585, sealed.length - 1].map(
      (end) => () => open(sealed.subarray(0, end), key, 'kek a', oaep),
    ),
    () => open(Buffer.concat([sealed, Buffer.alloc(1)]), key, 'kek a', oaep),
  ];
  for (const [i, attempt] of wrong.entries()) assert.throws(attempt, `case ${i}`);
});

test('any damaged byte is refused, before the inner layer is touched', () => {
  for (let at = 0; at < sealed.length; at += 1) {
    const damaged = Buffer.from(sealed);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (at & 7));
    assert.throws(() => openOuter(damaged, key, 'kek a'), `byte ${at}`);
  }
});

test('one half of the key opens nothing, nor does another recovery id', () => {
  const other = newHybridKey();
  const halves = [
    { ...hybridOf(key.rsaPrivate, other.kemPrivate), rsaPrivate: key.rsaPrivate },
    { ...hybridOf(other.rsaPrivate, key.kemPrivate), rsaPrivate: other.rsaPrivate },
  ].map((half, i) => ({ ...half, kemPrivate: i === 0 ? other.kemPrivate : key.kemPrivate }));
  for (const half of [...halves, { ...key, fingerprint: other.fingerprint }]) {
    assert.notEqual(half.fingerprint, key.fingerprint);
    assert.throws(() => open(sealed, half, 'kek a', oaep));
    // Also where it calls itself by the right id: then the RSA half stops it.
    if (half.rsaPrivate === key.rsaPrivate && half.kemPrivate === key.kemPrivate) continue;
    assert.throws(() => open(sealed, { ...half, fingerprint: key.fingerprint }, 'kek a', oaep));
  }
});

test('what the token wrapped with RSA alone comes out of the outer layer as it went in', () => {
  const wrapped = Buffer.alloc(384, 9);
  assert.deepEqual(openOuter(sealOuter(wrapped, key, 'c'), key, 'c'), wrapped);
});

test('a fixed vector opens', () => {
  const vector = JSON.parse(readFileSync('test/vectors/hybrid-v2.json', 'utf8')) as Record<
    'rsaPrivate' | 'kemPrivate' | 'recoveryId' | 'context' | 'sealed' | 'plaintext',
    string
  >;
  const privateKey = (base64: string) =>
    createPrivateKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'pkcs8' });
  const [rsaPrivate, kemPrivate] = [privateKey(vector.rsaPrivate), privateKey(vector.kemPrivate)];
  const known = { ...hybridOf(rsaPrivate, kemPrivate), rsaPrivate, kemPrivate };
  assert.equal(known.fingerprint, vector.recoveryId);
  const opened = open(Buffer.from(vector.sealed, 'base64'), known, vector.context, oaep);
  assert.equal(opened.toString('hex'), vector.plaintext);
});

test('the seed form of an ML-KEM key is the same key, and no other form is taken', () => {
  const whole = key.kemPrivate.export({ format: 'der', type: 'pkcs8' });
  const seed = mlKemSeedPkcs8(Buffer.from(whole));
  assert.equal(seed.length, 86);
  const again = createPrivateKey({ key: seed, format: 'der', type: 'pkcs8' });
  assert.deepEqual(hybridOf(key.rsaPrivate, again), hybridOf(key.rsaPrivate, key.kemPrivate));
  assert.throws(() => mlKemSeedPkcs8(Buffer.from(seed)), /another form/);
});
