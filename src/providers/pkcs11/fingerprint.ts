// The fingerprint of a KEK: AES-CMAC under it over a fixed text, computed in
// the token. Never CKA_CHECK_VALUE (24 bits, absent on unwrapped keys), never
// ECB of zeros, which is GCM's hash key: publishing it allows forgeries.
import pkcs11js from 'pkcs11js';
import { fingerprintText } from '../mactexts.ts';
import type { Fingerprint } from '../provider.ts';
import type { Handle } from './module.ts';

const text = Buffer.from(fingerprintText, 'ascii');
const macBytes = 16;

/** Throws what pkcs11js threw; the caller drops the session then. */
export function fingerprintOf(api: pkcs11js.PKCS11, session: Handle, key: Handle): Fingerprint {
  return cmacOf(api, session, key, text);
}

/** In hex. Throws what pkcs11js threw. */
export function cmacOf(
  api: pkcs11js.PKCS11,
  session: Handle,
  key: Handle,
  message: Buffer,
): string {
  api.C_SignInit(session, { mechanism: pkcs11js.CKM_AES_CMAC }, key);
  return api.C_Sign(session, message, Buffer.alloc(macBytes)).toString('hex');
}
