// Ring digests, by which hosts are compared: what goes in, and what does not.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { openableDigest, ringDigest } from '../../src/keyring/digest.ts';
import type { Ring, RingKek } from '../../src/keyring/ring.ts';

const a = 'aa'.repeat(16);
const b = 'bb'.repeat(16);
const created = '2026-01-02T03:04:05.000Z';
const kek = (fp: string, state: RingKek['state']): RingKek => ({
  fp,
  check: fp.replaceAll('a', '1'),
  state,
  provider: 'pkcs11',
  recovery: null,
  created,
});
const ring: Ring = {
  format: 2,
  ring: 'prod',
  ringId: '5e'.repeat(16),
  generation: 2,
  keks: [kek(a, 'write'), kek(b, 'read')],
};

test('the digests are SHA-256 over the canonical JSON, written here by hand', () => {
  const sha256 = (text: string): string =>
    `sha256:${createHash('sha256').update(text, 'utf8').digest('hex')}`;
  const c = { ...kek('cc'.repeat(16), 'retired'), provider: 'vault' as const };
  const full = { ...ring, keks: [c, kek(b, 'read'), kek(a, 'write')] };
  const line = (fp: string, provider: string, state: string): string =>
    `{"check":"${kek(fp, 'read').check}","fp":"${fp}","provider":"${provider}","recovery":null,"state":"${state}"}`;
  const keks = [
    line(a, 'pkcs11', 'write'),
    line(b, 'pkcs11', 'read'),
    line(c.fp, 'vault', 'retired'),
  ];
  assert.equal(
    ringDigest(full),
    sha256(
      `{"format":2,"generation":2,"keks":[${keks}],"ring":"prod","ringId":"${'5e'.repeat(16)}"}`,
    ),
  );
  const open = [a, b].map((fp) => `{"check":"${kek(fp, 'read').check}","fp":"${fp}"}`);
  assert.equal(
    openableDigest(full),
    sha256(`{"format":2,"keks":[${open}],"ring":"prod","ringId":"${'5e'.repeat(16)}"}`),
  );
});

test('a change of state or generation changes the full digest, and the openable one only where it retires', () => {
  const staged = { ...ring, keks: [kek(a, 'write'), kek(b, 'staged')] };
  const retired = { ...ring, keks: [kek(a, 'write'), kek(b, 'retired')] };
  const later = { ...ring, generation: 3 };
  assert.equal(new Set([ring, staged, retired, later].map(ringDigest)).size, 4);
  assert.deepEqual(
    [staged, later, retired, { ...ring, ring: 'dev' }].map(
      (each) => openableDigest(each) === openableDigest(ring),
    ),
    [true, true, false, false],
  );
});

test('another ring of the same name, and another key of the same fingerprint, have other digests', () => {
  const [first, ...rest] = ring.keks;
  assert.ok(first);
  const other = { ...ring, ringId: '00'.repeat(16) };
  const forged = { ...ring, keks: [{ ...first, check: 'ff'.repeat(16) }, ...rest] };
  for (const digest of [ringDigest, openableDigest]) {
    assert.equal(new Set([ring, other, forged].map(digest)).size, 3);
  }
});

test('the recovery key of a KEK is part of the full digest, its birthday of none', () => {
  const rest = ring.keks.slice(1);
  const withKek = (change: Partial<RingKek>): Ring => {
    return { ...ring, keks: [{ ...kek(a, 'write'), ...change }, ...rest] };
  };
  const later = withKek({ created: '2030-01-01T00:00:00.000Z' });
  const pinned = withKek({ recovery: 'ab'.repeat(32) });
  assert.equal(ringDigest(later), ringDigest(ring));
  assert.notEqual(ringDigest(pinned), ringDigest(ring));
  assert.equal(openableDigest(pinned), openableDigest(ring));
});
