// Whether bundles are all that a ring needs to be recovered: one for each KEK that is
// still needed, and none for another recovery key than the ring's.

import { missingKeks } from '../providers/kekidentity.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { type BundleKek, type KeksOfRing, recoveryPart, type UnsignedKek } from './bundle.ts';
import { isUnretired, type Ring, type RingKek } from './ring.ts';
import { isSameRing, shown } from './ringid.ts';

export interface CoverageFault {
  readonly fp: Fingerprint;
  /** For people; a clause. */
  readonly fault: string;
}

/** KEKs in Vault have their way back there. A bundle of a KEK that the ring lacks counts for nothing. */
export function coverageFaults(ring: Ring, bundles: readonly KeksOfRing[]): CoverageFault[] {
  const strangers = bundles
    .filter((bundle) => !isSameRing(bundle, ring))
    .flatMap((bundle) =>
      bundle.keks.map(({ fp }) => ({ fp, fault: `its bundle is of ring ${shown(bundle)}` })),
    );
  const own = bundles.filter((bundle) => isSameRing(bundle, ring)).flatMap(({ keks }) => keks);
  const tokenKeks = ring.keks.filter(({ provider }) => provider === 'pkcs11');
  const missing = tokenKeks
    .filter((kek) => isUnretired(kek) && missingKeks([kek], own).length > 0)
    .map(missingFault);
  const unpinned = unpinnedParts(tokenKeks, own).map(({ fp, recipient, pin }) => ({
    fp,
    fault: `its part is for ${named(recipient)}, the ring has ${named(pin)}`,
  }));
  return [...missing, ...unpinned, ...strangers];
}

/** What no recovery key opens, and no backup brings back. */
export function boardFaults(ring: Ring): CoverageFault[] {
  return ring.keks
    .filter((kek) => kek.provider === 'tpm' && isUnretired(kek))
    .map(({ fp }) => ({ fp, fault: 'it is in the TPM of one machine, and ends with its board' }));
}

/**
 * Each KEK that key create makes is vouched for by the write KEK of its time: all go back
 * to one. The word of a KEK that is destroyed cannot be tested any more, and counts. A
 * ring that had KEKs in Vault or a TPM may have others: those vouch for none.
 */
export function rootFaults(ring: Ring, keks: readonly BundleKek[]): CoverageFault[] {
  if (ring.keks.some(({ provider }) => provider !== 'pkcs11')) return [];
  const ended = ring.keks.filter(({ state }) => state === 'destroyed').map(({ fp }) => fp);
  const known = new Set([...ended, ...keks.map(({ fp }) => fp)]);
  const live = new Set(ring.keks.filter(isUnretired).map(({ fp }) => fp));
  const roots = keks.filter(
    ({ fp, vouchers }) => live.has(fp) && !vouchers.some(({ by }) => known.has(by)),
  );
  if (roots.length < 2) return [];
  const fault = `no KEK here vouches for it, as for ${roots.length - 1} more; only the first of a ring has none`;
  return roots.map(({ fp }) => ({ fp, fault }));
}

/**
 * Of these KEKs of a ring, those whose recovery part is not for the key that it has pinned.
 * @returns whom the part is for, null where there is none, and what the ring has pinned
 */
export function unpinnedParts(pinned: readonly RingKek[], keks: readonly UnsignedKek[]) {
  const pins = new Map(pinned.map(({ fp, recovery }) => [fp, recovery]));
  return keks.flatMap((kek) => {
    const pin = pins.get(kek.fp);
    const recipient = recoveryPart(kek)?.recipient ?? null;
    return pin === undefined || recipient === pin ? [] : [{ fp: kek.fp, recipient, pin }];
  });
}

function missingFault({ fp, state, recovery }: RingKek): CoverageFault {
  if (recovery === null)
    return { fp, fault: `the ring has it as ${state}, without a recovery key` };
  return { fp, fault: `the ring has it as ${state}, and no bundle of it is here` };
}

function named(recovery: string | null): string {
  return recovery === null ? 'no recovery key' : `recovery key sha256:${recovery}`;
}
