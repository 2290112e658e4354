// Taking the ring of another member: how this host comes to the same digest. It
// covers the recovery keys too, so that a host without a ring takes none that the
// operator has not compared; a host with a ring keeps to the one that it has pinned.
import { KleidiError } from '../errors.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { pinnedRecovery } from './recoverypublickey.ts';
import type { Ring, RingKek } from './ring.ts';
import { requireSucceeds, type Undone } from './succession.ts';

/**
 * The ring that this host has afterwards: states and generation of the other.
 * @param local undefined where the ring file is lost or damaged
 * @param undone the KEKs that the operator takes back from retired or destroyed
 * @param repinned the recovery key that the operator names as a new one of this ring
 * @throws KleidiError refused
 */
export function adopt(
  local: Ring | undefined,
  other: Ring,
  undone: Undone,
  repinned?: string,
): Ring {
  if (local === undefined) return other;
  requireSucceeds('this ring is not adopted', other, local, undone);
  const pins = { pinned: pinnedRecovery(local), repinned };
  const known = new Map(local.keks.map((kek) => [kek.fp, kek]));
  return { ...other, keks: other.keks.map((kek) => adopted(kek, known, pins)) };
}

/** What this host knew and the other does not. */
export function forgotten(local: Ring | undefined, other: Ring): readonly RingKek[] {
  const kept = new Set(other.keks.map((kek) => kek.fp));
  return local?.keks.filter((kek) => !kept.has(kek.fp)) ?? [];
}

interface Pins {
  readonly pinned: string | undefined;
  readonly repinned: string | undefined;
}

function adopted(
  kek: RingKek,
  known: ReadonlyMap<Fingerprint, RingKek>,
  { pinned, repinned }: Pins,
): RingKek {
  const mine = known.get(kek.fp);
  const expected = mine?.recovery ?? pinned ?? kek.recovery;
  const isNamed = kek.recovery === expected || kek.recovery === repinned;
  if (kek.recovery !== null && !isNamed) {
    throw refused(
      `KEK ${kek.fp} names recovery key sha256:${kek.recovery} there, this host has sha256:${expected}`,
      'where the ring has a new recovery key: kleidi join, with --recovery PUB=SHA256; else the file may have been changed',
    );
  }
  if (kek.recovery === null && mine !== undefined && mine.recovery !== null) {
    throw refused(
      `KEK ${kek.fp} has no recovery key there, and sha256:${mine.recovery} here`,
      'the other member has lost it: there run kleidi ring adopt with the ring of this host',
    );
  }
  return mine === undefined ? kek : { ...kek, created: mine.created };
}

function refused(why: string, hint: string): KleidiError {
  return new KleidiError('refused', `this ring is not adopted: ${why}`, { hint });
}
