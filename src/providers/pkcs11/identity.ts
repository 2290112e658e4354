// What a KEK is known by: AES-CMAC under it over two fixed texts, computed in the
// token. Never CKA_CHECK_VALUE (24 bits, absent on unwrapped keys), never ECB of
// zeros, which is GCM's hash key: publishing it allows forgeries.
import pkcs11js from 'pkcs11js';
import { checkText, fingerprintText } from '../domainseparation.ts';
import type { KekIdentity } from '../provider.ts';
import type { Handle } from './module.ts';

const texts = {
  fingerprint: Buffer.from(fingerprintText, 'ascii'),
  check: Buffer.from(checkText, 'ascii'),
} as const;
const macBytes = 16;

/** Throws what pkcs11js threw; the caller drops the session then. */
export function identityOf(api: pkcs11js.PKCS11, session: Handle, key: Handle): KekIdentity {
  const fp = cmacOf(api, session, key, texts.fingerprint);
  return { fp, check: cmacOf(api, session, key, texts.check) };
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
