// Whether bundles are all that a ring needs to be recovered: one for each KEK that is
// still needed, and none for another recovery key than the ring's.
import type { Fingerprint } from '../providers/provider.ts';
import { type Bundle, recoveryPart } from './bundle.ts';
import { isUnretired, type Ring, type RingKek } from './ring.ts';

export interface CoverageFault {
  readonly fp: Fingerprint;
  /** For people; a clause. */
  readonly fault: string;
}

/** KEKs in Vault have their way back there. A bundle of a KEK that the ring lacks counts for nothing. */
export function coverageFaults(ring: Ring, bundles: readonly Bundle[]): CoverageFault[] {
  const strangers = bundles
    .filter((bundle) => bundle.ring !== ring.ring)
    .flatMap(({ ring: name, keks }) =>
      keks.map(({ fp }) => ({ fp, fault: `its bundle is of ring '${name}'` })),
    );
  const own = bundles.filter((bundle) => bundle.ring === ring.ring).flatMap(({ keks }) => keks);
  const tokenKeks = ring.keks.filter(({ provider }) => provider === 'pkcs11');
  const missing = tokenKeks
    .filter((kek) => isUnretired(kek) && own.every(({ fp }) => fp !== kek.fp))
    .map(missingFault);
  const unpinned = own.flatMap((kek) => {
    const pin = tokenKeks.find(({ fp }) => fp === kek.fp);
    const recipient = recoveryPart(kek)?.recipient ?? null;
    if (pin === undefined || recipient === pin.recovery) return [];
    return [
      {
        fp: kek.fp,
        fault: `its part is for ${named(recipient)}, the ring has ${named(pin.recovery)}`,
      },
    ];
  });
  return [...missing, ...unpinned, ...strangers];
}

function missingFault({ fp, state, recovery }: RingKek): CoverageFault {
  if (recovery === null)
    return { fp, fault: `the ring has it as ${state}, without a recovery key` };
  return { fp, fault: `the ring has it as ${state}, and no bundle of it is here` };
}

function named(recovery: string | null): string {
  return recovery === null ? 'no recovery key' : `recovery key sha256:${recovery}`;
}
