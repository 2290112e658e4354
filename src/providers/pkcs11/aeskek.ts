// The KEKs of a token that keeps secret keys: AES-256, used for GCM and CMAC.
import pkcs11js from 'pkcs11js';
import type { KekIdentity } from '../provider.ts';
import { ckrOf } from './ckr.ts';
import * as gcm from './gcm.ts';
import { identityOf } from './identity.ts';
import { findInToken, identifiesAs, inOwnSession } from './kek.ts';
import type { Handle } from './module.ts';
import type { NonceSource } from './nonces.ts';
import { isTokenLost } from './recoverypolicy.ts';
import type { Findings, FoundKek, KeyCall, KeyScheme } from './scheme.ts';
import { aesMechanisms } from './slot.ts';
import type { Token } from './token.ts';

export const aesScheme: KeyScheme = {
  mechanisms: aesMechanisms,
  find: findKeks,
  atItsBest,
  identify: ({ api, session, kek }: KeyCall): KekIdentity => identityOf(api, session, kek.handle),
  seal: (call: KeyCall, nonces: NonceSource, plaintext: Buffer, aad: Buffer): Buffer =>
    gcm.encrypt(gcmCall(call), nonces, plaintext, aad),
  unseal: (call: KeyCall, body: Buffer, aad: Buffer): Buffer =>
    gcm.decrypt(gcmCall(call), body, aad),
};

function gcmCall({ api, session, kek }: KeyCall): gcm.GcmCall {
  return { api, session, key: kek.handle };
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
    if (identifiesAs(token, aesScheme, { ...kek, handle: copy })) return copy;
    api.C_DestroyObject(token.anchor, copy);
    return undefined;
  } catch {
    return undefined;
  }
}

function atItsBest(token: Token, kek: FoundKek): FoundKek {
  if (!token.module.isSoftHsm) return kek;
  return { ...kek, handle: copyIntoMemory(token, kek) ?? kek.handle };
}

function identityAlone(token: Token, handle: Handle): KekIdentity {
  return inOwnSession(token, (session) => identityOf(token.module.api, session, handle));
}
