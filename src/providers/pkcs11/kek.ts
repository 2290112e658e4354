// The KEKs of a token, whatever its scheme: searched, tested to be alive, and held.
import pkcs11js from 'pkcs11js';
import { isSameKek } from '../kekidentity.ts';
import type { Fingerprint, UsableKeks } from '../provider.ts';
import type { Handle } from './module.ts';
import type { FoundKek, KeyScheme } from './scheme.ts';
import type { Token } from './token.ts';

/** Whether the handles are alive and of this very key. */
export function identifiesAs(token: Token, scheme: KeyScheme, kek: FoundKek): boolean {
  const { api } = token.module;
  try {
    const identify = (session: Handle) => scheme.identify({ api, session, kek });
    return isSameKek(inOwnSession(token, identify), kek);
  } catch {
    return false;
  }
}

/** So that an error spends nothing else. */
export function inOwnSession<T>(token: Token, work: (session: Handle) => T): T {
  const session = token.newSession();
  try {
    return work(session);
  } finally {
    token.closeSession(session);
  }
}

/** Throws what pkcs11js threw. */
export function findInToken(token: Token, objectClass: number, keyType: number): Handle[] {
  const { api } = token.module;
  return inOwnSession(token, (session) => {
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
  });
}

/** Undefined where the object is damaged or half made. */
export function attributeOf(token: Token, handle: Handle, type: number): Buffer | undefined {
  const read = (session: Handle) =>
    token.module.api.C_GetAttributeValue(session, handle, [{ type }])[0]?.value;
  try {
    return inOwnSession(token, read);
  } catch {
    return undefined;
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
  scheme: KeyScheme,
  wanted: ReadonlySet<Fingerprint>,
  held: HeldKeks,
): HeldKeks {
  const found = new Map<Fingerprint, FoundKek>();
  // A copy in memory outlives its object: what is wanted and held is kept.
  for (const [fp, kek] of held) {
    if (wanted.has(fp) && identifiesAs(token, scheme, kek)) found.set(fp, kek);
  }
  for (const kek of scheme.find(token).keks) {
    if (wanted.has(kek.fp) && !found.has(kek.fp)) found.set(kek.fp, scheme.atItsBest(token, kek));
  }
  return found;
}
