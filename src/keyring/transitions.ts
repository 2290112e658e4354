// How a ring changes: pure steps from one valid ring to the next. A generation
// only ever rises, so that a key id is never announced twice.
import { KleidiError } from '../errors.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { isUnretired, type KekState, maxGeneration, type Ring, type RingKek } from './ring.ts';
import { requireSameRing } from './ringid.ts';

/** A mistyped generation would last for ever. A host that was away lags by a few. */
const maxStep = 1_000;

/**
 * Adds a KEK that decrypts from now on and is not written with yet.
 * @param ringId of the ring that the KEK is of: the first one gives the ring its id
 * @throws KleidiError refused
 */
export function stage(ring: Ring, kek: Omit<RingKek, 'state'>, ringId: string): Ring {
  requireSameRing(`KEK ${kek.fp}`, { ring: ring.ring, ringId }, ring);
  if (ring.keks.some(({ fp }) => fp === kek.fp)) {
    throw refused(`KEK ${kek.fp} is in the ring already`, 'kleidi ring show');
  }
  return { ...ring, ringId, keks: [...ring.keks, { ...kek, state: 'staged' }] };
}

/**
 * Makes `fp` the write KEK under a generation above the current one; the old
 * write KEK becomes `read`. Unchanged where `fp` is written with at that generation.
 * @throws KleidiError refused
 */
export function promote(ring: Ring, fp: Fingerprint, generation: number): Ring {
  const kek = find(ring, fp);
  if (kek.state === 'write' && generation === ring.generation) return ring;
  if (!isUnretired(kek) || kek.state === 'write') {
    throw refused(
      `KEK ${fp} is ${kek.state}; only staged or read ones are promoted`,
      'kleidi ring show',
    );
  }
  if (!Number.isInteger(generation) || generation <= ring.generation) {
    throw refused(
      `generation ${generation} is not above the current ${ring.generation}`,
      'use the number that the other hosts use, or leave --generation out',
    );
  }
  if (generation > Math.min(maxGeneration, ring.generation + maxStep)) {
    throw refused(
      `generation ${generation} is more than ${maxStep} above the current ${ring.generation}, and none is ever lowered again`,
      'use the number that the other hosts use; where they are that far ahead: kleidi ring export there, kleidi ring adopt here',
    );
  }
  return { ...ring, generation, keks: ring.keks.map((each) => promoted(each, fp)) };
}

/**
 * From now on Decrypt refuses `fp`; the key stays in the token. Unchanged where
 * it is retired already.
 * @throws KleidiError refused
 */
export function retire(ring: Ring, fp: Fingerprint): Ring {
  const { state } = find(ring, fp);
  if (state === 'retired') return ring;
  if (state === 'destroyed') {
    throw refused(`KEK ${fp} is destroyed`, 'kleidi ring show');
  }
  if (state === 'write') {
    throw refused(
      `KEK ${fp} is the write KEK, which is not retired`,
      'promote another one first: kleidi key promote',
    );
  }
  return withState(ring, fp, 'retired');
}

/** A retired KEK decrypts again. @throws KleidiError refused */
export function unretire(ring: Ring, fp: Fingerprint): Ring {
  const { state } = find(ring, fp);
  if (state === 'read') return ring;
  if (state !== 'retired') {
    throw refused(`KEK ${fp} is ${state}, not retired`, 'kleidi ring show');
  }
  return withState(ring, fp, 'read');
}

/**
 * A retired KEK is gone for good; its entry stays. Unchanged where it is destroyed already.
 * @throws KleidiError refused
 */
export function destroy(ring: Ring, fp: Fingerprint): Ring {
  const { state } = find(ring, fp);
  if (state === 'destroyed') return ring;
  if (state !== 'retired') {
    throw refused(
      `KEK ${fp} is ${state}; only retired ones are destroyed`,
      `kleidi key retire ${fp}`,
    );
  }
  return withState(ring, fp, 'destroyed');
}

/**
 * Before a key comes in: nobody brings back what this ring has ended.
 * @throws KleidiError refused
 */
export function requireNotDestroyed({ keks }: Ring, fp: Fingerprint): void {
  if (keks.find((kek) => kek.fp === fp)?.state !== 'destroyed') return;
  throw refused(
    `KEK ${fp} is destroyed in this ring; nothing was changed`,
    'where that was a mistake: kleidi ring adopt --undo, with the ring of a member that still has it',
  );
}

function find(ring: Ring, fp: Fingerprint): RingKek {
  const kek = ring.keks.find((candidate) => candidate.fp === fp);
  if (kek === undefined) throw refused(`KEK ${fp} is not in the ring`, 'kleidi ring show');
  return kek;
}

function withState(ring: Ring, fp: Fingerprint, state: KekState): Ring {
  return { ...ring, keks: ring.keks.map((kek) => (kek.fp === fp ? { ...kek, state } : kek)) };
}

function promoted(kek: RingKek, fp: Fingerprint): RingKek {
  if (kek.fp === fp) return { ...kek, state: 'write' };
  return kek.state === 'write' ? { ...kek, state: 'read' } : kek;
}

function refused(message: string, hint: string): KleidiError {
  return new KleidiError('refused', message, { hint });
}
