// A new KEK of the TPM enters the ring, staged.
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import type { Ring } from '../../keyring/ring.ts';
import { readRing } from '../../keyring/ringfile.ts';
import type { KekIdentity } from '../../providers/provider.ts';
import { enterStaged } from '../keys/enter.ts';
import { newTpmKek } from './newkek.ts';

/**
 * Call it under the ring's lock. Killed anywhere, it goes on when it is run again.
 * @throws KleidiError as `newTpmKek`; ring-missing, ring-invalid
 */
export async function createStagedTpmKek(
  config: Config,
): Promise<{ readonly kek: KekIdentity; readonly ring: Ring }> {
  const before = await readRing(config.ring);
  requireNoneStaged(before);
  const kek = await newTpmKek(config, before.ring, before.keks);
  return { kek, ring: await enterStaged(config, before, kek, 'tpm') };
}

/** Somebody who types the command twice wants one. */
function requireNoneStaged({ keks }: Ring): void {
  const staged = keks.find((kek) => kek.provider === 'tpm' && kek.state === 'staged');
  if (staged === undefined) return;
  throw new KleidiError('refused', `KEK ${staged.fp} is in the TPM and staged already`, {
    hint: `kleidi key promote ${staged.fp}`,
  });
}
