// KEKs of a bundle into this host: checked in the token, recovery parts beside the ring,
// kept in the token, named in the ring, in this order. Killed anywhere, it goes on when
// it is run again.
import type { Config } from '../../config.ts';
import type { Bundle } from '../../keyring/bundle.ts';
import { writeRing } from '../../keyring/ringfile.ts';
import { requireVouched } from '../../keyring/voucher.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import type { RingStep } from '../ring/step.ts';
import { storeRecoveryBundle } from './create.ts';

/**
 * Call it under the ring's lock.
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
