// A KEK that needs no bundle, as it stays where it was made: Vault or the TPM.
import type { Config } from '../../config.ts';
import type { Ring } from '../../keyring/ring.ts';
import { writeRing } from '../../keyring/ringfile.ts';
import { ringIdFrom } from '../../keyring/ringid.ts';
import { stage } from '../../keyring/transitions.ts';
import type { KekIdentity, ProviderKind } from '../../providers/provider.ts';

/**
 * Staged, without a recovery key. Call it under the ring's lock.
 * @returns the ring that has it
 * @throws KleidiError refused
 */
export async function enterStaged(
  config: Config,
  ring: Ring,
  { fp, check }: KekIdentity,
  provider: ProviderKind,
): Promise<Ring> {
  const created = new Date().toISOString();
  const entry = { fp, check, provider, recovery: null, created };
  const next = stage(ring, entry, ring.ringId ?? ringIdFrom({ fp, check }));
  await writeRing(config.ring, next);
  return next;
}
