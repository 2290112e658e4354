// A KEK as it is named on the command line: its whole fingerprint, never a part
// of it, so that none is taken for another.
import { KleidiError } from '../errors.ts';
import type { Fingerprint } from '../providers/provider.ts';
import type { TokenCommand } from './tokencommand.ts';
import { usage } from './verb.ts';

/** @throws KleidiError usage */
export function parseFingerprint(text: string | undefined): Fingerprint {
  if (text !== undefined && /^[0-9a-f]{32}$/.test(text)) return text;
  throw usage(`'${text ?? ''}' is no fingerprint: 32 hex digits, as kleidi ring show prints them`);
}

/**
 * The token of this host holds these KEKs: each fingerprint is recomputed.
 * @throws KleidiError kek-missing
 */
export async function requireInToken(
  token: TokenCommand,
  fps: readonly Fingerprint[],
): Promise<void> {
  const held = new Set((await token.list()).map((kek) => kek.fp));
  const lacking = fps.filter((fp) => !held.has(fp));
  if (lacking.length === 0) return;
  const text = `the token of this host does not hold KEK ${lacking.join(', ')}`;
  throw new KleidiError('kek-missing', `${text}; nothing was changed`, {
    hint: 'bring it here with kleidi key import; kleidi key list shows what the token holds',
  });
}
