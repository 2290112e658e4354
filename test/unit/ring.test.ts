// Ring file, key ids, transitions and digests: pure rules, with their vectors.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { openableDigest, ringDigest, verifiedPart } from '../../src/keyring/digest.ts';
import { formatKeyId, isRingName, keyIdHash, parseKeyId } from '../../src/keyring/keyid.ts';
import { formatRing, parseRing, type Ring } from '../../src/keyring/ring.ts';
import { requireSuccessor } from '../../src/keyring/succession.ts';
import { promote, stage } from '../../src/keyring/transitions.ts';

interface RingVector {
  readonly ring: Ring;
  readonly digest: string;
  readonly openableDigest: string;
  readonly keyId: string;
  readonly keyIdHash: string;
}

const file = new URL('../vectors/ring-v2.json', import.meta.url);
const vector = JSON.parse(readFileSync(file, 'utf8')) as RingVector;
const { ring } = vector;
const hex = (digits: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`));
const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
const keyIds = fc.record(
  { ring: name, generation: fc.integer({ min: 1, max: 999_999_999_999_999 }), fp: hex(32) },
  { noNullPrototype: true },
);
const code = (expected: string) => ({ code: expected });

test('a key id is read back as it was written, and its hash is the API server’s', () => {
  fc.assert(fc.property(keyIds, (id) => assert.deepEqual(parseKeyId(formatKeyId(id)), id)));
  assert.deepEqual(parseKeyId(vector.keyId).generation, 3);
  assert.equal(keyIdHash(vector.keyId), vector.keyIdHash);
});

test('no key id has a second spelling', () => {
  fc.assert(
    fc.property(keyIds, fc.nat(), fc.string({ maxLength: 3 }), (id, at, put) => {
      const text = formatKeyId(id);
      const i = at % text.length;
      const changed = text.slice(0, i) + put + text.slice(i + 1);
      if (changed === text) return;
      try {
        assert.notDeepEqual(parseKeyId(changed), id);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'key-id-invalid');
      }
    }),
  );
  for (const bad of ['k1.a.0.', 'k1.a.01.', 'k1.A.1.', 'k1.-a.1.', `k1.${'a'.repeat(64)}.1.`]) {
    assert.throws(() => parseKeyId(bad + 'ab'.repeat(16)), code('key-id-invalid'));
  }
  assert.ok(isRingName('a'.repeat(63)) && !isRingName('a'.repeat(64)) && !isRingName('a-'));
});

test('a ring is read back as it was written', () => {
  assert.deepEqual(parseRing(formatRing(ring), 'ring.json'), ring);
});

test('a time has one form: what only Date.parse takes is refused', () => {
  const withTime = (created: unknown): string =>
    JSON.stringify({ ...ring, keks: ring.keks.map((kek) => ({ ...kek, created })) });
  for (const good of ['2026-01-01T00:00:00Z', '2024-02-29T23:59:59.999Z'])
    parseRing(withTime(good), 'f');
  const bad = [
    ...['2026', '1', '2026-01-01', '2026-01-01T00:00:00', '2026-01-01T00:00:00+00:00'],
    ...[
      '2026-02-29T00:00:00Z',
      '2026-01-01T24:00:00Z',
      '2026-01-01T00:00:60Z',
      '2026-13-01T00:00:00Z',
    ],
    ...['2026-01-01T00:00:00.1Z', 'Jan 1 2026 (\u00e9 ")', '+002026-01-01T00:00:00Z', '', 5, null],
  ];
  for (const created of bad) {
    assert.throws(
      () => parseRing(withTime(created), 'f'),
      /created is not a time/,
      String(created),
    );
  }
});

test('every fault of a ring file is named, all at once', () => {
  const kek = ring.keks[1];
  const bad: readonly (readonly [unknown, RegExp])[] = [
    [{ ...ring, format: 1 }, /format is 1, this kleidi reads format 2/],
    [{ ...ring, extra: 1 }, /unknown field extra/],
    [{ ...ring, ring: 'Prod', generation: -1 }, /ring is "Prod".*generation is -1/],
    [{ ...ring, keks: {} }, /keks is not a list/],
    [
      { ...ring, keks: [{ ...kek, fp: 'AB', state: 'new', provider: 'aws' }] },
      /fp.*state.*provider/,
    ],
    [{ ...ring, keks: [kek, { ...kek, state: 'read' }] }, /fingerprint stands twice/],
    [{ ...ring, generation: 0 }, /generation 0 has 1 write KEKs, 0 is right/],
    [{ ...ring, keks: [] }, /has 0 write KEKs, 1 is right/],
    [{ ...ring, ringId: null }, /3 KEKs and ringId null: one without the other/],
    [{ ...ring, generation: 0, keks: [] }, /0 KEKs and ringId "/],
    [[], /not a JSON object/],
  ];
  for (const [value, message] of bad) {
    const text = JSON.stringify(value);
    assert.throws(() => parseRing(text, 'r.json'), { code: 'ring-invalid', message });
  }
  for (const text of ['', ' ', '{', 'null', '"x"']) {
    assert.throws(() => parseRing(text, 'r.json'), code('ring-invalid'));
  }
});

test('digests are the written-down ones, and do not depend on the order of KEKs', () => {
  assert.equal(ringDigest(ring), vector.digest);
  assert.equal(openableDigest(ring), vector.openableDigest);
  const turned = { ...ring, keks: [...ring.keks].reverse() };
  assert.equal(ringDigest(turned), vector.digest);
  const fewer = verifiedPart(ring, ring.keks.slice(1, 2));
  assert.notEqual(ringDigest(fewer), vector.digest);
  assert.notEqual(openableDigest(fewer), vector.openableDigest);
});

test('promotion moves the write KEK, raises the generation and can be repeated', () => {
  const [read, write, retired] = ring.keks.map((kek) => kek.fp);
  const next = promote(ring, read ?? '', 4);
  assert.equal(next.generation, 4);
  assert.deepEqual(
    next.keks.map((kek) => kek.state),
    ['write', 'read', 'retired'],
  );
  assert.deepEqual(promote(next, read ?? '', 4), next);
  for (const [fp, generation] of [
    [read, 3],
    [read, 2],
    [retired, 9],
    [write, 9],
    ['ff', 9],
  ] as const) {
    assert.throws(() => promote(ring, fp ?? '', generation), code('refused'));
  }
});

test('a KEK is staged once, and an older or foreign ring is no successor', () => {
  const kek = {
    fp: 'cd'.repeat(16),
    check: 'dc'.repeat(16),
    provider: 'pkcs11',
    recovery: null,
    created: '2026-01-01T00:00:00Z',
  } as const;
  const staged = stage(ring, kek, vector.ring.ringId ?? '');
  assert.equal(staged.keks.at(-1)?.state, 'staged');
  assert.throws(() => stage(staged, kek, vector.ring.ringId ?? ''), code('refused'));
  requireSuccessor(staged, ring);
  assert.throws(() => requireSuccessor({ ...ring, generation: 2 }, ring), code('ring-rollback'));
  assert.throws(() => requireSuccessor({ ...ring, ring: 'x' }, ring), code('ring-rollback'));
});
