// Objects of one class in the token, each looked at for itself: finding by id
// or label fails as a whole where one object is damaged.
import pkcs11js from 'pkcs11js';
import type { Handle } from './module.ts';
import type { Token } from './token.ts';

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
