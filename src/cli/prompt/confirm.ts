// RSA-OAEP proves nobody's identity: a public key that was swapped on its way
// would give the KEK to the swapper. So each fingerprint is named by the
// operator, or confirmed by them on a terminal. There is no third way.
import { KleidiError } from '../../errors.ts';
import type { NamedKey } from '../../keyring/publickey.ts';
import type { RecoveryKey } from '../../keyring/recoverypublickey.ts';
import type { RequestFile } from '../../keyring/request.ts';
import { note } from '../../terminal.ts';
import { ask, isAnswerable } from './ask.ts';

interface Claim {
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

/**
 * Call it before anything is changed.
 * @throws KleidiError refused where the operator does not confirm, or cannot be asked
 */
export async function confirmKeys(claims: readonly Claim[]): Promise<void> {
  const open = claims.filter(({ key }) => !key.confirmed);
  if (open.length === 0) return;
  const lines = open.map(({ what, key }) => `${what} (${key.path}): sha256:${key.fingerprint}`);
  if (!isAnswerable())
    throw unconfirmed(`there is no terminal to ask for confirmation: ${lines.join('; ')}`);
  for (const line of lines) note(line);
  const answer = await ask('is each of these what its source shows? type yes to go on: ');
  if (answer.trim().toLowerCase() === 'yes') return;
  throw unconfirmed('a fingerprint was not confirmed');
}

function unconfirmed(what: string): KleidiError {
  return new KleidiError('refused', `${what}; nothing was changed`, {
    hint: 'name each file with the fingerprint that its own source shows (key request, recovery create): FILE=SHA256',
  });
}
