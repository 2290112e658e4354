// The verifier: a short-lived child that opens the token afresh and recomputes
// what each KEK is known by. It sees what this process cannot: a key that was added
// while the folder is read-only to us, and damage that cached objects hide.

import type { Config } from '../config.ts';
import { type ErrorCode, KleidiError } from '../errors.ts';
import { missingKeks } from '../providers/kekidentity.ts';
import { daemonSettings } from '../providers/open.ts';
import { TokenChild } from '../providers/pkcs11/child.ts';
import type { Fingerprint, KekIdentity, TokenKind } from '../providers/provider.ts';
import { isSoftHsm } from '../softhsm.ts';

const timeoutMs = 30_000;

export type Verdict =
  | { readonly kind: 'whole' }
  /** The token opens, but these KEKs are not in it. */
  | { readonly kind: 'missing'; readonly fps: readonly Fingerprint[] }
  | { readonly kind: 'unusable'; readonly error: KleidiError }
  /** The check itself could not be made: it says nothing about the token. */
  | { readonly kind: 'unchecked'; readonly error: KleidiError };

const bySeverity: readonly Verdict['kind'][] = ['missing', 'unusable', 'unchecked', 'whole'];

/** Of those of several tokens. */
export function worstOf(verdicts: readonly Verdict[]): Verdict | undefined {
  const [worst] = verdicts.toSorted(
    (a, b) => bySeverity.indexOf(a.kind) - bySeverity.indexOf(b.kind),
  );
  return worst;
}

/** What a child says of the token that it has seen. */
const aboutToken: ReadonlySet<ErrorCode> = new Set([
  'token-damaged',
  'module-crashed',
  'kek-missing',
  'pin-refused',
]);
/** SoftHSM is its files: what it cannot open is damaged. An HSM may be away for a moment. */
const aboutFiles: ReadonlySet<ErrorCode> = new Set([
  'token-missing',
  'module-failed',
  'module-unsupported',
]);

/** Never rejects. */
export async function verifyToken(
  config: Config,
  kind: TokenKind,
  pin: string,
  keks: readonly KekIdentity[],
): Promise<Verdict> {
  const child = TokenChild.start('verify-token', {
    timeoutMs,
    environment: config.pkcs11.environment,
  });
  try {
    const fps = keks.map(({ fp }) => fp);
    child.send({ settings: await daemonSettings(config, kind), pin, fps });
    const { verified } = await child.receive();
    const found = Array.isArray(verified) ? (verified as KekIdentity[]) : [];
    const missing = missingKeks(keks, found).map(({ fp }) => fp);
    return missing.length === 0 ? { kind: 'whole' } : { kind: 'missing', fps: missing };
  } catch (thrown) {
    const error = KleidiError.from(thrown);
    return { kind: isAboutToken(error, config, kind) ? 'unusable' : 'unchecked', error };
  } finally {
    await child.end();
  }
}

function isAboutToken({ code }: KleidiError, { pkcs11 }: Config, kind: TokenKind): boolean {
  const isFiles = kind === 'pkcs11' && isSoftHsm(pkcs11.module);
  return aboutToken.has(code) || (aboutFiles.has(code) && isFiles);
}
