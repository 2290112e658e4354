// A digest that leaves this host says what this host holds: none is printed before each
// KEK of the ring that is not retired was found in token or Vault, and is the right key.
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { ringDigest } from '../../keyring/digest.ts';
import { isUnretired, type Ring, type RingKek } from '../../keyring/ring.ts';
import { tokenKinds } from '../../providers/algorithm.ts';
import { missingKeks } from '../../providers/kekidentity.ts';
import type { ProviderKind } from '../../providers/provider.ts';
import { warn } from '../../terminal.ts';
import { missingInToken } from '../keys/held.ts';
import { vaultKey } from '../keys/vaultknown.ts';

/** @throws KleidiError kek-missing, and what opening token or Vault throws */
export async function requireVerified(config: Config, ring: Ring): Promise<void> {
  const live = ring.keks.filter(isUnretired);
  const of = (kind: ProviderKind): RingKek[] => live.filter((kek) => kek.provider === kind);
  const missing: RingKek[] = [];
  for (const kind of tokenKinds) missing.push(...(await missingInToken(config, kind, of(kind))));
  if (of('vault').length > 0) missing.push(...missingKeks(of('vault'), await inVault(config)));
  if (missing.length === 0) return;
  const fps = missing.map(({ fp }) => fp).join(', ');
  throw new KleidiError('kek-missing', `this host lacks KEK ${fps}: its ring has no digest`, {
    hint: 'kleidi key list; kleidi join brings a KEK here, and a member that holds them all has the digest',
  });
}

/**
 * For commands that have done their work: null, and a warning, where this host may not
 * speak for its ring.
 */
export async function verifiedDigest(config: Config, ring: Ring): Promise<string | null> {
  try {
    await requireVerified(config, ring);
    return ringDigest(ring);
  } catch (error) {
    warn(`no digest: ${KleidiError.from(error).message}`);
    return null;
  }
}

/** Behind what a command says. */
export function ringLine(digest: string | null): string {
  return digest === null ? '' : `\nring ${digest}`;
}

async function inVault(config: Config) {
  const { keks } = await vaultKey(config);
  return keks.filter(({ refusal }) => refusal === undefined);
}
