// RSA-OAEP proves nobody's identity: a public key that was swapped on its way
// would give the KEK to the swapper. So each fingerprint is named by the
// operator, confirmed by them on a terminal, or shown with a warning.
import { KleidiError } from '../errors.ts';
import type { NamedKey } from '../keyring/publickey.ts';
import type { RecoveryKey } from '../keyring/recipient.ts';
import type { RequestFile } from '../keyring/request.ts';
import { ask, isAnswerable } from './ask.ts';
import { note, warn } from './terminal.ts';

export interface Claim {
  /** What it is said to be. */
  readonly what: string;
  readonly key: NamedKey;
}

export function requestClaims(requests: readonly RequestFile[]): Claim[] {
  return requests.map((key) => ({ what: `request of host ${key.host}`, key }));
}

/** @param pinned the recovery key of the ring: that one needs no confirmation */
export function recoveryClaims(key: RecoveryKey | undefined, pinned: string | undefined): Claim[] {
  return key === undefined || key.fingerprint === pinned ? [] : [{ what: 'recovery key', key }];
}

/** @throws KleidiError refused where the operator does not confirm */
export async function confirmKeys(claims: readonly Claim[]): Promise<void> {
  const open = claims.filter(({ key }) => !key.confirmed);
  if (open.length === 0) return;
  const lines = open.map(({ what, key }) => `${what} (${key.path}): sha256:${key.fingerprint}`);
  if (!isAnswerable()) {
    for (const line of lines) warn(`not confirmed, compare it with its source: ${line}`);
    return;
  }
  for (const line of lines) note(line);
  const answer = await ask('is each of these what its source shows? type yes to go on: ');
  if (answer.trim().toLowerCase() === 'yes') return;
  throw new KleidiError('refused', 'a fingerprint was not confirmed; nothing was changed', {
    hint: 'compare with what key request or recovery create shows, or name it: FILE=SHA256',
  });
}
