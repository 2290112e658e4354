// Key ids are compared as text by every API server: one text per id, and every
// other text is another id or none.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { KleidiError } from '../../src/errors.ts';
import {
  formatKeyId,
  isRingName,
  type KeyId,
  keyIdHash,
  parseKeyId,
} from '../../src/keyring/keyid.ts';

const fp = '0123456789abcdef'.repeat(2);
const ids: readonly KeyId[] = [
  { ring: 'a', generation: 1, fp },
  { ring: 'prod-eu-1', generation: 10, fp },
  { ring: 'x'.repeat(63), generation: 999_999_999_999_999, fp },
];
/** All of ASCII, and what a sloppy comparison takes for it. */
const characters = [...Array(128).keys()]
  .map((number) => String.fromCharCode(number))
  .concat('\u00a0', '\u0661', '\uff41', '\u2028', '\ufeff', '\ud83d\ude00', '\u0430');

function parseOrRefuse(text: string): KeyId | undefined {
  try {
    return parseKeyId(text);
  } catch (error) {
    assert.ok(error instanceof KleidiError);
    assert.equal(error.code, 'key-id-invalid');
    return undefined;
  }
}

test('no single character can be replaced, added or removed and leave the same key id', () => {
  for (const id of ids) {
    const text = formatKeyId(id);
    assert.deepEqual(parseKeyId(text), id);
    for (let at = 0; at <= text.length; at += 1) {
      const [before, after] = [text.slice(0, at), text.slice(at)];
      const changed = characters.flatMap((put) => [
        before + put + after.slice(1),
        before + put + after,
      ]);
      for (const other of [...changed, before + after.slice(1)]) {
        if (other !== text) assert.notDeepEqual(parseOrRefuse(other), id, JSON.stringify(other));
      }
    }
  }
});

test('what is read from a key id is written back as the very same text', () => {
  for (const id of ids) {
    const text = formatKeyId(id);
    for (let at = 0; at < text.length; at += 1) {
      for (const put of characters) {
        const changed = text.slice(0, at) + put + text.slice(at + 1);
        const parsed = parseOrRefuse(changed);
        if (parsed !== undefined) assert.equal(formatKeyId(parsed), changed);
      }
    }
  }
});

test('a ring name has 1 to 63 of a-z 0-9 and inner hyphens', () => {
  const good = ['a', '0', 'ab', 'a-b', 'a--b', '0-0', 'x'.repeat(63), `a${'-'.repeat(61)}b`];
  const bad = [
    '',
    '-',
    '-a',
    'a-',
    'A',
    'aB',
    'a_b',
    'a.b',
    'a b',
    'ä',
    'a\n',
    '\na',
    'x'.repeat(64),
  ];
  for (const name of good) assert.ok(isRingName(name), name);
  for (const name of bad) assert.ok(!isRingName(name), JSON.stringify(name));
});

test('a generation is a whole number of 1 to 15 digits without leading zero', () => {
  const withGeneration = (generation: string): string => `k1.a.${generation}.${fp}`;
  for (const good of ['1', '9', '10', '9'.repeat(15)]) {
    assert.equal(parseKeyId(withGeneration(good)).generation, Number(good));
  }
  for (const bad of ['', '0', '01', '-1', '+1', '1.0', '1e3', '0x1', ' 1', '1 ', '1'.repeat(16)]) {
    assert.equal(parseOrRefuse(withGeneration(bad)), undefined, bad);
  }
});

test('only version k1 and four parts are read', () => {
  for (const bad of [
    `k2.a.1.${fp}`,
    `K1.a.1.${fp}`,
    `a.1.${fp}`,
    `k1.a.1.${fp}.`,
    `k1.a.1.${fp}.${fp}`,
    `k1.a.1.${fp.toUpperCase()}`,
    `k1.a.1.${fp.slice(1)}`,
    `k1.a.1.${fp}0`,
    'k1.a.1.',
    '',
  ]) {
    assert.equal(parseOrRefuse(bad), undefined, bad);
  }
});

test('the hash is the SHA-256 of the key id as text, as kube-apiserver shows it', () => {
  for (const id of ids) {
    const text = formatKeyId(id);
    assert.equal(
      keyIdHash(text),
      `sha256:${createHash('sha256').update(text, 'utf8').digest('hex')}`,
    );
  }
  // Taken from sha256sum, so that not both sides come from one library.
  assert.equal(
    keyIdHash('k1.a.1.0123456789abcdef0123456789abcdef'),
    'sha256:5f138f60394129f5ef0e66e0313cfafe776d8f1ba772d925fe39dabd65080b4a',
  );
});
