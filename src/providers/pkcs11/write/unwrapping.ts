// The one way a KEK gets into a token, for the host that makes it and for every
// other: unwrapped, not extractable, with the same attributes, and only when
// the key inside is the one that fingerprint and check say, and has 32 bytes.
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../../errors.ts';
import { isSameKek } from '../../kekidentity.ts';
import type { Fingerprint } from '../../provider.ts';
import { ckr, ckrOf, ckrText } from '../ckr.ts';
import { identityOf } from '../identity.ts';
import type { Handle } from '../module.ts';
import { isTokenLost } from '../recoverypolicy.ts';
import type { Token } from '../token.ts';
import { unwrapKey, type WrappedPart } from './oaep.ts';
import { kekTemplate, lengthProbeTemplate } from './template.ts';

/**
 * @returns a handle that lives as long as the session
 * @throws KleidiError refused; pkcs11js errors where the token itself is lost
 */
export function unwrapIntoMemory(token: Token, session: Handle, part: WrappedPart): Handle {
  const kek = unwrapChecked(token, session, part, 'memory');
  if (isWholeKek(token, kek, part)) return kek;
  token.module.api.C_DestroyObject(session, kek);
  throw refused(part.fp, `it has not ${kekBytes} bytes`);
}

/** Call it with what `unwrapIntoMemory` has proved. */
export function unwrapIntoToken(token: Token, session: Handle, part: WrappedPart): void {
  unwrapChecked(token, session, part, 'token');
}

function unwrapChecked(
  token: Token,
  session: Handle,
  part: WrappedPart,
  place: 'memory' | 'token',
): Handle {
  const { api } = token.module;
  const kek = unwrap(token, session, part, place);
  if (isSameKek(identityOf(api, session, kek), part)) return kek;
  api.C_DestroyObject(session, kek);
  throw refused(part.fp, 'the key inside is another one');
}

function unwrap(
  token: Token,
  session: Handle,
  { fp, oaepHash, privateKey, wrapped, label }: WrappedPart,
  place: 'memory' | 'token',
): Handle {
  const template = kekTemplate(place, label, Buffer.from(fp, 'hex'));
  try {
    return unwrapKey(token.module.api, session, oaepHash, privateKey, wrapped, template);
  } catch (error) {
    if (place === 'token' || isTokenLost(ckrOf(error))) throw error;
    throw refused(fp, `its wrapped part cannot be opened, ${ckrText(error)}`, error);
  }
}

function refused(fp: Fingerprint, why: string, cause?: unknown): KleidiError {
  return new KleidiError('refused', `KEK ${fp} is not taken: ${why}`, {
    hint: 'the bundle was damaged or changed: nothing of it was kept; fetch it again from where it was made',
    cause,
  });
}

/**
 * A shorter one does GCM and CMAC as well, so nothing else would notice it, and it would
 * not be the AES-256 that everybody counts on.
 */
const kekBytes = 32;

/** Whether the KEK that was unwrapped from this part is of 32 bytes. Throws what pkcs11js threw. */
function isWholeKek(token: Token, kek: Handle, part: WrappedPart): boolean {
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
