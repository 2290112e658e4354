// Taking the ring of another member: how this host comes to the same digest.
// The digest does not cover the recovery keys, so those of this host stay.
import { KleidiError } from '../errors.ts';
import type { Fingerprint } from '../providers/provider.ts';
import type { Ring, RingKek } from './ring.ts';
import { requireSucceeds } from './succession.ts';

/**
 * The ring that this host has afterwards: states and generation of the other.
 * @param local undefined where the ring file is lost or damaged
 * @throws KleidiError refused
 */
export function adopt(local: Ring | undefined, other: Ring): Ring {
  if (local === undefined) return other;
  requireSucceeds('this ring is not adopted', other, local);
  const pinned = local.keks.find((kek) => kek.recovery !== null)?.recovery;
  const known = new Map(local.keks.map((kek) => [kek.fp, kek]));
  return { ...other, keks: other.keks.map((kek) => adopted(kek, known, pinned)) };
}

/** What this host knew and the other does not. */
export function forgotten(local: Ring | undefined, other: Ring): readonly RingKek[] {
  const kept = new Set(other.keks.map((kek) => kek.fp));
  return local?.keks.filter((kek) => !kept.has(kek.fp)) ?? [];
}

function adopted(
  kek: RingKek,
  known: ReadonlyMap<Fingerprint, RingKek>,
  pinned: string | null | undefined,
): RingKek {
  const mine = known.get(kek.fp);
  const expected = mine?.recovery ?? pinned ?? kek.recovery;
  if (kek.recovery !== null && kek.recovery !== expected) {
    throw refused(
      `KEK ${kek.fp} names recovery key sha256:${kek.recovery} there, this host has sha256:${expected}`,
      'somebody may have changed the file: export it again',
    );
  }
  return mine === undefined ? kek : { ...kek, recovery: mine.recovery, created: mine.created };
}

function refused(why: string, hint: string): KleidiError {
  return new KleidiError('refused', `this ring is not adopted: ${why}`, { hint });
}
