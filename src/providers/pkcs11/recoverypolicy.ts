// The recovery policy: what to do after a PKCS#11 call failed, by operation
// and return value. A pure table; the provider climbs it.
import { ckr } from './ckr.ts';

export type Operation = 'wrap' | 'unwrap' | 'self-test';

export type Recovery =
  /** The session is spent: the next one may work. */
  | { readonly kind: 'new-session' }
  /** The key handle is spent: find the key again by its fingerprint. */
  | { readonly kind: 'find-again' }
  /** The token logged us out: one login, then find again. */
  | { readonly kind: 'login' }
  /** The input is bad or the token is: a known-answer test tells which. */
  | { readonly kind: 'ask-self-test' }
  /** The key or the module cannot do this, however often it is tried. */
  | { readonly kind: 'unfit' }
  /** The module is beyond repair inside this process. */
  | { readonly kind: 'broken' };

const byNumber: Readonly<Record<number, Recovery['kind']>> = {
  [ckr.SESSION_HANDLE_INVALID]: 'new-session',
  [ckr.SESSION_CLOSED]: 'new-session',
  [ckr.OPERATION_ACTIVE]: 'new-session',
  [ckr.OPERATION_NOT_INITIALIZED]: 'new-session',
  [ckr.OBJECT_HANDLE_INVALID]: 'find-again',
  [ckr.KEY_HANDLE_INVALID]: 'find-again',
  [ckr.USER_NOT_LOGGED_IN]: 'login',
  [ckr.KEY_FUNCTION_NOT_PERMITTED]: 'unfit',
  [ckr.MECHANISM_INVALID]: 'unfit',
  [ckr.MECHANISM_PARAM_INVALID]: 'unfit',
};

/**
 * SoftHSM 2.6.1 answers GENERAL_ERROR to a wrong GCM tag, 2.7.0 and others
 * ENCRYPTED_DATA_INVALID; a dead token answers GENERAL_ERROR too.
 */
const maybeBadInput: ReadonlySet<number> = new Set([
  ckr.GENERAL_ERROR,
  ckr.FUNCTION_FAILED,
  ckr.ENCRYPTED_DATA_INVALID,
  ckr.ENCRYPTED_DATA_LEN_RANGE,
  ckr.DATA_LEN_RANGE,
  ckr.ARGUMENTS_BAD,
]);

/** About the whole token or module, whatever object or input was at hand. */
const lost: ReadonlySet<number | undefined> = new Set([
  ckr.DEVICE_ERROR,
  ckr.DEVICE_MEMORY,
  ckr.DEVICE_REMOVED,
  ckr.TOKEN_NOT_PRESENT,
  ckr.TOKEN_NOT_RECOGNIZED,
  ckr.USER_NOT_LOGGED_IN,
  ckr.SESSION_COUNT,
  ckr.CRYPTOKI_NOT_INITIALIZED,
]);

export function recoveryFor(operation: Operation, number: number | undefined): Recovery {
  if (number === undefined) return { kind: 'broken' };
  const known = byNumber[number];
  if (known !== undefined) return { kind: known };
  if (operation === 'unwrap' && maybeBadInput.has(number)) return { kind: 'ask-self-test' };
  return { kind: 'broken' };
}

export function isTokenLost(number: number | undefined): boolean {
  return lost.has(number);
}
