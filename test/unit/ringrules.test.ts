// Rings as they grow by the steps that kleidi knows, and ring files as they are
// damaged by hand: what is accepted is whole, what is refused says why at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KleidiError } from '../../src/errors.ts';
import {
  emptyRing,
  formatRing,
  maxGeneration,
  parseRing,
  type Ring,
  type RingKek,
  writeKekOf,
} from '../../src/keyring/ring.ts';
import { ringIdFrom } from '../../src/keyring/ringid.ts';
import { promote, stage } from '../../src/keyring/transitions.ts';

const a = 'aa'.repeat(16);
const b = 'bb'.repeat(16);
const ringId = '5e'.repeat(16);
const created = '2026-01-02T03:04:05.000Z';
const kek = (fp: string, state: RingKek['state']): RingKek => ({
  fp,
  check: fp,
  state,
  provider: 'pkcs11',
  recovery: null,
  created,
});
const ring: Ring = {
  format: 2,
  ring: 'prod',
  ringId,
  generation: 2,
  keks: [kek(a, 'write'), kek(b, 'read')],
};

function refusal(text: string): string {
  try {
    parseRing(text, 'ring.json');
  } catch (error) {
    assert.ok(error instanceof KleidiError);
    assert.equal(error.code, 'ring-invalid');
    return error.message;
  }
  return assert.fail(`accepted: ${text}`);
}

/** Stages a new KEK, or promotes one of those that are there, so far above. */
const steps = fc.array(
  fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 9 }), fc.integer({ min: -1, max: 3 })),
);

test('whatever is staged and promoted, the ring stays valid and its generation never falls', () => {
  fc.assert(
    fc.property(steps, (plan) => {
      let now = emptyRing('prod');
      plan.forEach(([kind, which, above], i) => {
        const before = now;
        try {
          const fresh = { ...kek(i.toString(16).padStart(32, '0'), 'staged') };
          const fp = now.keks[which % Math.max(now.keks.length, 1)]?.fp ?? a;
          now = kind === 0 ? stage(now, fresh, ringId) : promote(now, fp, now.generation + above);
        } catch (error) {
          assert.equal(KleidiError.from(error).code, 'refused');
        }
        assert.deepEqual(parseRing(formatRing(now), 'ring.json'), now);
        assert.ok(now.generation >= before.generation);
        // An id is never announced twice: another write KEK means another generation.
        if (writeKekOf(now)?.fp !== writeKekOf(before)?.fp) {
          assert.ok(now.generation > before.generation);
        }
      });
    }),
  );
});

test('a generation that a key id has no room for is never promoted to', () => {
  const staged = stage(ring, kek('cc'.repeat(16), 'staged'), ringId);
  const high = { ...staged, generation: maxGeneration - 1 };
  assert.equal(promote(high, b, maxGeneration).generation, 999_999_999_999_999);
  assert.throws(() => promote(high, b, maxGeneration + 1), { code: 'refused' });
  for (const generation of [maxGeneration + 1, 2 ** 60, Infinity, Number.NaN, 2.5]) {
    assert.throws(() => promote(staged, b, generation), { code: 'refused' }, String(generation));
  }
  assert.match(
    refusal(JSON.stringify({ ...ring, generation: maxGeneration + 1 })),
    /generation is/,
  );
});

test('a KEK of another ring is not staged, whatever that is called; the first one gives the ring its id', () => {
  const fresh = kek('cc'.repeat(16), 'staged');
  assert.throws(() => stage(ring, fresh, '00'.repeat(16)), {
    code: 'refused',
    message: /is of ring 'prod' \(id 00000000\), this host has ring 'prod' \(id 5e5e5e5e\)/,
  });
  assert.equal(stage(emptyRing('prod'), fresh, ringId).ringId, ringId);
});

test('members that stage the same version of a Transit key come to the same ring id', () => {
  const one = { fp: a, check: b };
  assert.equal(ringIdFrom(one), ringIdFrom({ ...one }));
  assert.match(ringIdFrom(one), /^[0-9a-f]{32}$/);
  assert.notEqual(ringIdFrom(one), ringIdFrom({ fp: a, check: a }));
});

test('a ring at generation 0 promotes its first KEK to generation 1', () => {
  const first = promote(stage(emptyRing('prod'), kek(a, 'staged'), ringId), a, 1);
  assert.equal(first.generation, 1);
  assert.equal(writeKekOf(first)?.fp, a);
});

test('all faults of all fields stand in one message', () => {
  const bad = {
    fp: 'AA',
    state: ['write'],
    provider: ['pkcs11'],
    recovery: 'x',
    created: 5,
    more: 1,
  };
  const message = refusal(
    JSON.stringify({
      format: 2,
      ring: 'Bad',
      ringId: 'x',
      generation: 1.5,
      keks: [bad, 'x'],
      extra: 1,
      other: 2,
    }),
  );
  for (const named of [
    'extra',
    'other',
    'ring is',
    'ringId is',
    'generation is',
    'keks[1] is not an object',
  ]) {
    assert.ok(message.includes(named), named);
  }
  for (const field of ['fp', 'check', 'state', 'provider', 'recovery', 'created']) {
    assert.ok(message.includes(`keks[0].${field}`), field);
  }
  assert.match(message, /keks\[0\] has unknown fields more/);
  const whole = refusal(JSON.stringify({ ...ring, keks: [kek(a, 'write'), kek(a, 'write')] }));
  assert.match(whole, /stands twice.*2 write KEKs/);
});

test('text in a list is no state and no provider, though it reads the same', () => {
  for (const wrong of [{ state: ['retired'] }, { provider: ['pkcs11'] }]) {
    refusal(JSON.stringify({ ...ring, keks: [kek(a, 'write'), { ...kek(b, 'read'), ...wrong }] }));
  }
});

test('a __proto__ field is an unknown field, and gives nothing else a value', () => {
  const text = JSON.stringify(ring);
  assert.match(refusal(text.replace('{', '{"__proto__":{"x":1},')), /unknown field __proto__/);
  assert.match(refusal(text.replace('{"fp"', '{"__proto__":{},"fp"')), /keks\[0\] has unknown/);
  refusal(`{"__proto__":${text}}`);
  assert.equal(Object.hasOwn(Object.prototype, 'x'), false);
});

test('a file that is cut short anywhere is refused', () => {
  const text = formatRing(ring).trimEnd();
  for (let length = 0; length < text.length; length += 1) refusal(text.slice(0, length));
  parseRing(text, 'ring.json');
});
