// One line that is equal on two hosts exactly when their rings are: SHA-256
// over RFC 8785 JSON. All values are ASCII strings and small integers, for
// which RFC 8785 is JSON.stringify with sorted field names.
import { createHash } from 'node:crypto';
import { isUnretired, type Ring, type RingKek } from './ring.ts';

/** The full digest: name, id, generation, and every KEK with all but its birthday. */
export function ringDigest(ring: Ring): string {
  const keks = sorted(ring.keks).map((kek) => {
    const { check, fp, provider, recovery, state } = kek;
    return { check, fp, provider, recovery, state };
  });
  const { format, generation, ring: name, ringId } = ring;
  return sha256({ format, generation, keks, ring: name, ringId });
}

/** What can be opened: the ring's name and id, and the KEKs that are not retired. */
export function openableDigest(ring: Ring): string {
  const keks = sorted(ring.keks)
    .filter(isUnretired)
    .map(({ check, fp }) => ({ check, fp }));
  const { format, ring: name, ringId } = ring;
  return sha256({ format, keks, ring: name, ringId });
}

/**
 * The ring as a daemon can vouch for it: only the KEKs that it has verified. A
 * retired one is refused with or without its key, which a new host never gets.
 */
export function verifiedPart(ring: Ring, verified: readonly RingKek[]): Ring {
  return { ...ring, keks: ring.keks.filter((kek) => !isUnretired(kek) || verified.includes(kek)) };
}

function sorted(keks: readonly RingKek[]): RingKek[] {
  return [...keks].sort((a, b) => (a.fp < b.fp ? -1 : 1));
}

function sha256(value: object): string {
  return `sha256:${createHash('sha256').update(JSON.stringify(value)).digest('hex')}`;
}
