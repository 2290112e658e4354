// The KEKs that a provider holds: a handle by fingerprint. A new map for each
// search, so that calls under way keep the one they began with.
import type { Fingerprint } from '../provider.ts';
import { copyIntoMemory, type FoundKek, findKeks, isKek } from './kek.ts';
import type { Handle } from './module.ts';
import type { Token } from './token.ts';

export type HeldKeks = ReadonlyMap<Fingerprint, Handle>;

/**
 * Looks for the wanted KEKs in the token. Handles that are held and still good
 * are kept. Throws what pkcs11js threw.
 */
export function findWanted(
  token: Token,
  wanted: ReadonlySet<Fingerprint>,
  held: HeldKeks,
): HeldKeks {
  const found = new Map<Fingerprint, Handle>();
  // A copy in memory outlives its object: what is wanted and held is kept.
  for (const [fp, handle] of held) {
    if (wanted.has(fp) && isKek(token, fp, handle)) found.set(fp, handle);
  }
  for (const kek of findKeks(token).keks) {
    if (wanted.has(kek.fp) && !found.has(kek.fp)) found.set(kek.fp, bestHandle(token, kek));
  }
  return found;
}

function bestHandle(token: Token, kek: FoundKek): Handle {
  if (!token.module.isSoftHsm) return kek.handle;
  return copyIntoMemory(token, kek) ?? kek.handle;
}
