// KEKs of a bundle into this host, for `kleidi join`; and for `kleidi key import`: its KEKs,
// and no others, staged in the ring, which stays that of this host.
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import type { Bundle } from '../../keyring/bundle.ts';
import { requirePinned } from '../../keyring/recoverypublickey.ts';
import type { Ring, RingKek } from '../../keyring/ring.ts';
import { readRing, writeRing } from '../../keyring/ringfile.ts';
import { requireSameRing } from '../../keyring/ringid.ts';
import { requireNotDestroyed, stage } from '../../keyring/transitions.ts';
import { requireVouched } from '../../keyring/voucher.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import type { RingStep } from '../ring/step.ts';
import { ringEntry, storeRecoveryBundle } from './create.ts';

/**
 * Else whoever can change the bundle could give this host a KEK of their own.
 * @throws KleidiError refused
 */
export function requireExpected({ keks }: Bundle, expected: ReadonlySet<Fingerprint>): void {
  const strange = keks.find(({ fp }) => !expected.has(fp));
  const missing = [...expected].find((fp) => !keks.some((kek) => kek.fp === fp));
  if (strange === undefined && missing === undefined) return;
  throw new KleidiError(
    'refused',
    strange === undefined
      ? `the expected KEK ${missing} is not in the bundle; nothing was changed`
      : `the bundle holds KEK ${strange.fp}, which is not expected; nothing was changed`,
    { hint: 'compare with key create or ring show of the host that made the bundle' },
  );
}

/**
 * Call it under the ring's lock.
 * @returns the fingerprints that the token did not hold before
 * @throws KleidiError refused; nothing is changed then
 */
export async function takeInStaged(
  config: Config,
  bundle: Bundle,
): Promise<readonly Fingerprint[]> {
  const from = await readRing(config.ring);
  return takeIn(config, bundle, { from, to: withKeks(from, bundle) });
}

function withKeks(ring: Ring, bundle: Bundle): Ring {
  requireSameRing('the bundle', bundle, ring);
  return bundle.keks.reduce((so, kek) => {
    requireNotDestroyed(so, kek.fp);
    const entry = ringEntry(kek);
    const known = so.keks.find(({ fp }) => fp === kek.fp);
    if (known === undefined) {
      requirePinned(so, entry.recovery);
      return stage(so, entry, bundle.ringId);
    }
    requireSameEntry(known, entry);
    return so;
  }, ring);
}

/** What is kept beside the ring must be what the ring names, however often it comes. */
function requireSameEntry(known: RingKek, { fp, check, recovery }: Omit<RingKek, 'state'>): void {
  if (known.check === check && known.recovery === recovery) return;
  const what = known.check === check ? 'wrapped for another recovery key' : 'another key';
  throw new KleidiError(
    'refused',
    `KEK ${fp} is in the ring of this host, and ${what} in the bundle; nothing was changed`,
    { hint: 'the bundle is not what the maker of that KEK has handed out: ask for it again' },
  );
}

/**
 * Checked in the token, recovery parts beside the ring, kept in the token, named in the
 * ring, in this order. Killed anywhere, it goes on when it is run again. Call it under the
 * ring's lock.
 * @returns the fingerprints that the token did not hold before
 * @throws KleidiError refused; nothing is changed then
 */
export async function takeIn(
  config: Config,
  bundle: Bundle,
  { from, to }: RingStep,
): Promise<readonly Fingerprint[]> {
  let imported: readonly Fingerprint[] = [];
  await new TokenCommand(config).importKeks(bundle, {
    beforePersist: async ({ missing, vouchers }) => {
      if (from !== undefined) requireVouched(from, bundle.keks, vouchers);
      imported = missing;
      for (const kek of bundle.keks) await storeRecoveryBundle(config, bundle, kek);
    },
    // Also where it says the same: a daemon that has refused it looks again at once.
    beforeTransportKeyDestroyed: () => writeRing(config.ring, to),
  });
  return imported;
}
