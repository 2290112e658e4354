// What Vault's refusals mean: HTTP status and error texts, translated once, here.
// Sources: the HTTP API's page on status codes, and the error texts of the Transit
// engine (sdk/helper/keysutil/policy.go, builtin/logical/transit), tested on a
// real server.
import { KleidiError } from '../../errors.ts';

const texts = {
  tooOld: /version is disallowed by policy|too old|less than the minimum/i,
  tooNew: /version is too new|higher than the latest|no such key version|invalid key version/i,
  keyMissing: /encryption key not found|no existing key named/i,
  /** Only the addresses of the configuration are asked, so a redirect to the leader is a standby, too.
   * A node between two leaders, or one that cannot reach the leader, answers 500. */
  noLeader:
    /not active|no active|active cluster node|not the (leader|active)|forwarding|connection refused|leadership/i,
  badCiphertext: /invalid ciphertext|message authentication failed|unable to decrypt/i,
} as const;

/** Vault's own texts are shorter; what else answers must not fill the journal. */
const shownChars = 300;

/**
 * @param where address and path, for people
 * @param answer the JSON body, if it was one; only its `errors` are shown
 * @param secrets of the request: not shown, even where the answer repeats them
 */
export function refusal(
  where: string,
  status: number,
  answer: object | undefined,
  secrets: readonly string[],
): KleidiError {
  const why = errorsOf(answer, secrets);
  const said = why === '' ? `HTTP ${status}` : `HTTP ${status}: ${why}`;
  const isElecting = status === 500 && texts.noLeader.test(why);
  if (isElecting || [307, 472, 473, 502, 503, 504].includes(status)) return sealed(where, said);
  if (status === 429) return throttled(where, said);
  if (status === 403) return denied(where, said);
  if (status === 404) return missing(where, said);
  if (status === 400 || status === 422) return badRequest(where, said, why);
  return new KleidiError('vault-failed', `${where} fails: ${said}`, {
    hint: 'see the log of the Vault server',
  });
}

function errorsOf(answer: object | undefined, secrets: readonly string[]): string {
  const errors = (answer as { errors?: unknown } | undefined)?.errors;
  if (!Array.isArray(errors)) return '';
  const texts = errors.filter((each) => typeof each === 'string');
  const text = secrets.reduce((all, each) => all.replaceAll(each, '(not shown)'), texts.join('; '));
  return text
    .replace(/[\s\p{C}]+/gu, ' ')
    .trim()
    .slice(0, shownChars);
}

function sealed(where: string, said: string): KleidiError {
  return new KleidiError(
    'vault-sealed',
    `${where} is sealed, in standby, or without a leader: ${said}`,
    { hint: 'unseal it (vault operator unseal), or name an active node in vault.address' },
  );
}

function throttled(where: string, said: string): KleidiError {
  return new KleidiError('vault-throttled', `${where} refuses more requests: ${said}`, {
    hint: 'raise the rate limit quota of this mount, or look for who uses it up',
  });
}

function denied(where: string, said: string): KleidiError {
  return new KleidiError('vault-denied', `${where} is not allowed to this host: ${said}`, {
    hint: 'the token was revoked, or its policy lacks this path: compare with kleidi vault policy',
  });
}

function missing(where: string, said: string): KleidiError {
  return new KleidiError('vault-key-missing', `${where} does not exist: ${said}`, {
    hint: 'check vault.mount, vault.key and vault.namespace; a key that was deleted comes back only from a backup of Vault',
  });
}

function badRequest(where: string, said: string, why: string): KleidiError {
  if (where.endsWith('/login')) return new KleidiError('vault-login-failed', `${where}: ${said}`);
  if (texts.tooOld.test(why)) {
    return new KleidiError(
      'vault-version-disallowed',
      `${where} no longer allows this key version: ${said}`,
      {
        hint: 'lower min_decryption_version and min_encryption_version of the Transit key to the oldest version in the ring',
      },
    );
  }
  if (texts.keyMissing.test(why) || texts.tooNew.test(why)) return missing(where, said);
  // Of no other path: a request to seal has no ciphertext.
  if (where.includes('/decrypt/') && texts.badCiphertext.test(why)) {
    return new KleidiError('ciphertext-invalid', 'the ciphertext does not open under its KEK');
  }
  return new KleidiError('vault-failed', `${where} refuses: ${said}`, {
    hint: 'check vault.mount and vault.key, and that the key is of type aes256-gcm96, not derived',
  });
}
