// The KEKs of an open token, found by class and matched by fingerprint.
// Finding by label or id fails as a whole where one object is damaged; finding
// by class does not, so each object is looked at for itself.
import pkcs11js from 'pkcs11js';
import type { Fingerprint } from '../provider.ts';
import { ckrOf, ckrText } from './ckr.ts';
import { fingerprintOf } from './fingerprint.ts';
import { isTokenLost } from './ladder.ts';
import type { Handle } from './module.ts';
import type { Token } from './token.ts';

export interface FoundKek {
  readonly fp: Fingerprint;
  readonly handle: Handle;
}

export interface Findings {
  readonly keks: readonly FoundKek[];
  /** Objects that could not be used, each with its reason; for logs. */
  readonly unreadable: readonly string[];
}

const aesKeysInToken = [
  { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
  { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_AES },
  { type: pkcs11js.CKA_TOKEN, value: true },
];

/**
 * Every AES key in the token whose fingerprint can be computed. Throws what
 * pkcs11js threw where the whole token is lost, not one object.
 */
export function findKeks(token: Token): Findings {
  const keks: FoundKek[] = [];
  const unreadable: string[] = [];
  for (const handle of findHandles(token)) {
    try {
      keks.push({ fp: fingerprintAlone(token, handle), handle });
    } catch (error) {
      if (isTokenLost(ckrOf(error))) throw error;
      unreadable.push(ckrText(error));
    }
  }
  return { keks, unreadable };
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
    if (isKek(token, kek.fp, copy)) return copy;
    api.C_DestroyObject(token.anchor, copy);
    return undefined;
  } catch {
    return undefined;
  }
}

/** Whether the handle is alive and of this very key. */
export function isKek(token: Token, fp: Fingerprint, handle: Handle): boolean {
  try {
    return fingerprintAlone(token, handle) === fp;
  } catch {
    return false;
  }
}

/** In a session of its own, so that an error spends nothing else. */
function fingerprintAlone(token: Token, handle: Handle): Fingerprint {
  const session = token.newSession();
  try {
    return fingerprintOf(token.module.api, session, handle);
  } finally {
    token.closeSession(session);
  }
}

function findHandles(token: Token): Handle[] {
  const { api } = token.module;
  const session = token.newSession();
  try {
    api.C_FindObjectsInit(session, aesKeysInToken);
    const handles: Handle[] = [];
    for (;;) {
      const some = api.C_FindObjects(session, 100);
      if (some.length === 0) break;
      handles.push(...some);
    }
    api.C_FindObjectsFinal(session);
    return handles;
  } finally {
    token.closeSession(session);
  }
}
