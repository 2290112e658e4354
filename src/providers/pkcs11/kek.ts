// The KEKs of an open token, found by class and matched by fingerprint.
// Finding by label or id fails as a whole where one object is damaged; finding
// by class does not, so each object is looked at for itself.
import pkcs11js from 'pkcs11js';
import { isSameKek } from '../kekidentity.ts';
import type { KekIdentity } from '../provider.ts';
import { ckrOf } from './ckr.ts';
import { identityOf } from './identity.ts';
import type { Handle } from './module.ts';
import { findInToken } from './objects.ts';
import { isTokenLost } from './recoverypolicy.ts';
import type { Token } from './token.ts';

export interface FoundKek extends KekIdentity {
  readonly handle: Handle;
}

export interface Findings {
  readonly keks: readonly FoundKek[];
  /** AES keys whose fingerprint cannot be computed: damaged, or left half made. */
  readonly unusable: readonly Handle[];
}

/**
 * Every AES key in the token whose fingerprint can be computed. Throws what
 * pkcs11js threw where the whole token is lost, not one object.
 */
export function findKeks(token: Token): Findings {
  const keks: FoundKek[] = [];
  const unusable: Handle[] = [];
  for (const handle of findInToken(token, pkcs11js.CKO_SECRET_KEY, pkcs11js.CKK_AES)) {
    try {
      keks.push({ ...identityAlone(token, handle), handle });
    } catch (error) {
      if (isTokenLost(ckrOf(error))) throw error;
      unusable.push(handle);
    }
  }
  return { keks, unusable };
}

/**
 * A copy of the KEK in the memory of this process: three times faster on
 * SoftHSM, and untouched by whatever happens to its files. Undefined where the
 * module refuses, or where the copy is not the same key.
 */
export function copyIntoMemory(token: Token, kek: FoundKek): Handle | undefined {
  const { api } = token.module;
  try {
    const copy = api.C_CopyObject(token.anchor, kek.handle, [
      { type: pkcs11js.CKA_TOKEN, value: false },
    ]);
    if (isKek(token, kek, copy)) return copy;
    api.C_DestroyObject(token.anchor, copy);
    return undefined;
  } catch {
    return undefined;
  }
}

/** Whether the handle is alive and of this very key. */
export function isKek(token: Token, kek: KekIdentity, handle: Handle): boolean {
  try {
    return isSameKek(identityAlone(token, handle), kek);
  } catch {
    return false;
  }
}

/** In a session of its own, so that an error spends nothing else. */
function identityAlone(token: Token, handle: Handle): KekIdentity {
  const session = token.newSession();
  try {
    return identityOf(token.module.api, session, handle);
  } finally {
    token.closeSession(session);
  }
}
