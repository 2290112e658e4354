// The KEKs that a provider holds, by fingerprint. A new map for each
// search, so that calls under way keep the one they began with.
import type { Fingerprint, UsableKeks } from '../provider.ts';
import { copyIntoMemory, type FoundKek, findKeks, isKek } from './kek.ts';
import type { Token } from './token.ts';

export type HeldKeks = ReadonlyMap<Fingerprint, FoundKek>;

export function usable(keks: HeldKeks): UsableKeks {
  return new Map([...keks].map(([fp, { check }]) => [fp, check]));
}

/**
 * Looks for the wanted KEKs in the token. Handles that are held and still good
 * are kept. Throws what pkcs11js threw.
 */
export function findWanted(
  token: Token,
  wanted: ReadonlySet<Fingerprint>,
  held: HeldKeks,
): HeldKeks {
  const found = new Map<Fingerprint, FoundKek>();
  // A copy in memory outlives its object: what is wanted and held is kept.
  for (const [fp, kek] of held) {
    if (wanted.has(fp) && isKek(token, kek, kek.handle)) found.set(fp, kek);
  }
  for (const kek of findKeks(token).keks) {
    if (wanted.has(kek.fp) && !found.has(kek.fp)) found.set(kek.fp, atItsBest(token, kek));
  }
  return found;
}

function atItsBest(token: Token, kek: FoundKek): FoundKek {
  if (!token.module.isSoftHsm) return kek;
  return { ...kek, handle: copyIntoMemory(token, kek) ?? kek.handle };
}
