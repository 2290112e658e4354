// The KEKs of an open token, found by class and matched by fingerprint.
// Finding by label or id fails as a whole where one object is damaged; finding
// by class does not, so each object is looked at for itself.
import pkcs11js from 'pkcs11js';
import { isSameKek } from '../kekidentity.ts';
import type { Fingerprint, KekIdentity, UsableKeks } from '../provider.ts';
import { ckrOf } from './ckr.ts';
import { identityOf } from './identity.ts';
import type { Handle } from './module.ts';
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
function isKek(token: Token, kek: KekIdentity, handle: Handle): boolean {
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

/** Throws what pkcs11js threw. */
export function findInToken(token: Token, objectClass: number, keyType: number): Handle[] {
  const { api } = token.module;
  const session = token.newSession();
  try {
    api.C_FindObjectsInit(session, [
      { type: pkcs11js.CKA_CLASS, value: objectClass },
      { type: pkcs11js.CKA_KEY_TYPE, value: keyType },
      { type: pkcs11js.CKA_TOKEN, value: true },
    ]);
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

/** Undefined where the object is damaged or half made. */
export function attributeOf(token: Token, handle: Handle, type: number): Buffer | undefined {
  const session = token.newSession();
  try {
    return token.module.api.C_GetAttributeValue(session, handle, [{ type }])[0]?.value;
  } catch {
    return undefined;
  } finally {
    token.closeSession(session);
  }
}

export function hasId(token: Token, handle: Handle, id: Buffer): boolean {
  return attributeOf(token, handle, pkcs11js.CKA_ID)?.equals(id) === true;
}

/**
 * The KEKs that a provider holds. A new map for each search, so that calls under way keep
 * the one they began with.
 */
export type HeldKeks = ReadonlyMap<Fingerprint, FoundKek>;

export function usable(keks: HeldKeks): UsableKeks {
  return new Map([...keks].map(([fp, { check }]) => [fp, check]));
}

/**
 * Looks for the wanted KEKs in the token. Handles that are held and still good
 * are kept. Throws what pkcs11js threw.
 */
export function findWanted(
  token: Token,
  wanted: ReadonlySet<Fingerprint>,
  held: HeldKeks,
): HeldKeks {
  const found = new Map<Fingerprint, FoundKek>();
  // A copy in memory outlives its object: what is wanted and held is kept.
  for (const [fp, kek] of held) {
    if (wanted.has(fp) && isKek(token, kek, kek.handle)) found.set(fp, kek);
  }
  for (const kek of findKeks(token).keks) {
    if (wanted.has(kek.fp) && !found.has(kek.fp)) found.set(kek.fp, atItsBest(token, kek));
  }
  return found;
}

function atItsBest(token: Token, kek: FoundKek): FoundKek {
  if (!token.module.isSoftHsm) return kek;
  return { ...kek, handle: copyIntoMemory(token, kek) ?? kek.handle };
}
