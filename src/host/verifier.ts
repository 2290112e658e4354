// The verifier: a short-lived child that opens the token afresh and recomputes
// every fingerprint. It sees what this process cannot: a key that was added
// while the folder is read-only to us, and damage that cached objects hide.

import type { Config } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { pkcs11Settings } from '../providers/open.ts';
import { TokenChild } from '../providers/pkcs11/child.ts';
import type { Fingerprint } from '../providers/provider.ts';

const timeoutMs = 30_000;

export type Verdict =
  | { readonly kind: 'whole' }
  /** The token opens, but these KEKs are not in it. */
  | { readonly kind: 'lacking'; readonly fps: readonly Fingerprint[] }
  | { readonly kind: 'unusable'; readonly error: KleidiError };

/** Never rejects: whatever goes wrong in the child is a verdict about the token. */
export async function verifyToken(
  config: Config,
  pin: string,
  fps: readonly Fingerprint[],
): Promise<Verdict> {
  const child = TokenChild.start('verify-token', undefined, timeoutMs);
  try {
    child.send({ settings: pkcs11Settings(config), pin, fps });
    const { verified } = await child.receive();
    const found = new Set(Array.isArray(verified) ? verified : []);
    const lacking = fps.filter((fp) => !found.has(fp));
    return lacking.length === 0 ? { kind: 'whole' } : { kind: 'lacking', fps: lacking };
  } catch (error) {
    return { kind: 'unusable', error: KleidiError.from(error) };
  } finally {
    await child.end();
  }
}

/** One sentence for people; undefined where all is well. */
export function describeVerdict(verdict: Verdict): string | undefined {
  switch (verdict.kind) {
    case 'whole':
      return undefined;
    case 'lacking':
      return `it lacks KEK ${verdict.fps.join(', ')}`;
    case 'unusable':
      return verdict.error.message;
    default:
      return verdict satisfies never;
  }
}
