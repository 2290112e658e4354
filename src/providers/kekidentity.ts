// Whether two KEKs are one key: by fingerprint and check, both.
import type { KekIdentity } from './provider.ts';

export function isSameKek(a: KekIdentity, b: KekIdentity): boolean {
  return a.fp === b.fp && a.check === b.check;
}

/** Of these KEKs, those that are not among the held ones. */
export function missingKeks<T extends KekIdentity>(
  wanted: readonly T[],
  held: readonly KekIdentity[],
): T[] {
  return wanted.filter((kek) => !held.some((each) => isSameKek(each, kek)));
}
