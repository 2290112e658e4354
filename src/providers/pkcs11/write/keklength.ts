// A KEK has 32 bytes. A shorter one does GCM and CMAC as well, so nothing else
// would notice it, and it would not be the AES-256 that everybody counts on.
import pkcs11js from 'pkcs11js';
import { ckr, ckrOf } from '../ckr.ts';
import type { Handle } from '../module.ts';
import type { Token } from '../token.ts';
import { unwrapKey, type WrappedPart } from './oaep.ts';
import { lengthProbeTemplate } from './template.ts';

export const kekBytes = 32;

/** Whether the KEK that was unwrapped from this part is of 32 bytes. Throws what pkcs11js threw. */
export function isWholeKek(token: Token, kek: Handle, part: WrappedPart): boolean {
  const told = toldLength(token, kek);
  return told > 0 ? told === kekBytes : isOfLength(token, part);
}

/** 0 where the module does not say: SoftHSM keeps no CKA_VALUE_LEN of an unwrapped key. */
function toldLength(token: Token, kek: Handle): number {
  const asked = [{ type: pkcs11js.CKA_VALUE_LEN }];
  const [found] = token.module.api.C_GetAttributeValue(token.anchor, kek, asked);
  const value = found?.value;
  return value?.length === 8 ? Number(value.readBigUInt64LE()) : 0;
}

/**
 * The same bytes once more, as an HMAC key in a session of its own: with SHA-256 such
 * a key has 32 bytes or more (PKCS#11, CKR_KEY_SIZE_RANGE), and AES knows none above.
 * No MAC is made with it.
 */
function isOfLength(token: Token, { oaepHash, privateKey, wrapped }: WrappedPart): boolean {
  const { api } = token.module;
  const session = token.newSession();
  try {
    const probe = unwrapKey(api, session, oaepHash, privateKey, wrapped, lengthProbeTemplate);
    api.C_SignInit(session, { mechanism: pkcs11js.CKM_SHA256_HMAC }, probe);
    return true;
  } catch (error) {
    if (ckrOf(error) === ckr.KEY_SIZE_RANGE) return false;
    throw error;
  } finally {
    token.closeSession(session);
  }
}
