// A KEK as it is named on the command line. Its whole fingerprint where that proves
// something; to select one that the ring of this host holds, eight digits are enough.

import type { Config } from '../../config.ts';
import { KleidiError, usage } from '../../errors.ts';
import { isHex } from '../../jsonvalue.ts';
import type { Ring, RingKek } from '../../keyring/ring.ts';
import { tokenKinds } from '../../providers/algorithm.ts';
import { missingKeks } from '../../providers/kekidentity.ts';
import type { Fingerprint, ProviderKind, TokenKind } from '../../providers/provider.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { requireKnown } from './vaultknown.ts';

/** @throws KleidiError usage */
export function parseFingerprint(text: string | undefined): Fingerprint {
  if (isHex(text, 32)) return text;
  throw usage(`'${text ?? ''}' is no fingerprint: 32 hex digits, as kleidi ring show prints them`);
}

/**
 * A KEK of this ring by the first digits of its fingerprint, or any by all of them.
 * @throws KleidiError usage where it is none, or more than one has these digits
 */
export function selectFingerprint({ keks }: Ring, text: string | undefined): Fingerprint {
  if (text === undefined || text.length >= 32 || !/^[0-9a-f]{8,}$/.test(text)) {
    return parseFingerprint(text);
  }
  const found = keks.filter(({ fp }) => fp.startsWith(text)).map(({ fp }) => fp);
  const [fp] = found;
  if (fp !== undefined && found.length === 1) return fp;
  const how = found.length === 0 ? 'no KEK of the ring begins with it' : `${found.join(', ')}?`;
  throw usage(`'${text}' names no one KEK: ${how}`);
}

/**
 * This host can use these KEKs, wherever each is kept. Of those in Vault it has a known
 * text afterwards. Call it under the ring's lock.
 * @throws KleidiError kek-missing, vault-*
 */
export async function requireHeld(config: Config, keks: readonly RingKek[]): Promise<void> {
  const of = (kind: ProviderKind): RingKek[] => keks.filter((kek) => kek.provider === kind);
  for (const kind of tokenKinds) await requireInToken(config, kind, of(kind));
  if (of('vault').length > 0) await requireKnown(config, of('vault'));
}

/** Of these KEKs, those that the token lacks. It is opened only where there are any. */
export async function missingInToken(
  config: Config,
  kind: TokenKind,
  keks: readonly RingKek[],
): Promise<readonly RingKek[]> {
  if (keks.length === 0) return [];
  return missingKeks(keks, await new TokenCommand(config, { kind }).list());
}

/**
 * The token of this host holds these KEKs: fingerprint and check of each are recomputed.
 * @throws KleidiError kek-missing
 */
async function requireInToken(
  config: Config,
  kind: TokenKind,
  keks: readonly RingKek[],
): Promise<void> {
  const missing = (await missingInToken(config, kind, keks)).map(({ fp }) => fp);
  if (missing.length === 0) return;
  const where = kind === 'tpm' ? 'the TPM of this machine' : 'the token of this host';
  const text = `${where} does not hold KEK ${missing.join(', ')}`;
  throw new KleidiError('kek-missing', `${text}; nothing was changed`, {
    hint:
      kind === 'tpm'
        ? 'it is in the TPM of the machine that made it, and there alone; kleidi key list'
        : 'bring it here with kleidi join; kleidi key list shows what the token holds',
  });
}
