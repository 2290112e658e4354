// A new KEK of the TPM enters the ring, staged.
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import type { Ring } from '../../keyring/ring.ts';
import { readRing, writeRing } from '../../keyring/ringfile.ts';
import { ringIdFrom } from '../../keyring/ringid.ts';
import { stage } from '../../keyring/transitions.ts';
import type { KekIdentity } from '../../providers/provider.ts';
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
  const { fp, check } = kek;
  const created = new Date().toISOString();
  const entry = { fp, check, provider: 'tpm', recovery: null, created } as const;
  const ring = stage(before, entry, before.ringId ?? ringIdFrom(kek));
  await writeRing(config.ring, ring);
  return { kek, ring };
}

/** Somebody who types the command twice wants one. */
function requireNoneStaged({ keks }: Ring): void {
  const staged = keks.find((kek) => kek.provider === 'tpm' && kek.state === 'staged');
  if (staged === undefined) return;
  throw new KleidiError('refused', `KEK ${staged.fp} is in the TPM and staged already`, {
    hint: `kleidi key promote ${staged.fp}`,
  });
}
