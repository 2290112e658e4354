// One line that is equal on two hosts exactly when their rings are: SHA-256
// over RFC 8785 JSON. All values are ASCII strings and small integers, for
// which RFC 8785 is JSON.stringify with sorted field names.
import { createHash } from 'node:crypto';
import { isUnretired, type Ring, type RingKek } from './ring.ts';

/** The full digest: name, generation, and every KEK with provider, recovery key and state. */
export function ringDigest(ring: Ring): string {
  const keks = sorted(ring.keks).map((kek) => {
    const { fp, provider, recovery, state } = kek;
    return { fp, provider, recovery, state };
  });
  const { format, generation, ring: name } = ring;
  return sha256({ format, generation, keks, ring: name });
}

/** What can be opened: name and the fingerprints that are not retired. */
export function openableDigest(ring: Ring): string {
  const open = sorted(ring.keks).filter(isUnretired);
  return sha256({ fps: open.map((kek) => kek.fp), ring: ring.ring });
}

/**
 * The ring as a daemon can vouch for it: only the KEKs that it has verified. A
 * retired one is refused with or without its key, which a new host never gets.
 */
export function verifiedPart(ring: Ring, verified: ReadonlySet<string>): Ring {
  return {
    ...ring,
    keks: ring.keks.filter((kek) => !isUnretired(kek) || verified.has(kek.fp)),
  };
}

function sorted(keks: readonly RingKek[]): RingKek[] {
  return [...keks].sort((a, b) => (a.fp < b.fp ? -1 : 1));
}

function sha256(value: object): string {
  return `sha256:${createHash('sha256').update(JSON.stringify(value)).digest('hex')}`;
}
