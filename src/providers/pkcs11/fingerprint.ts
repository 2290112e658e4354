// The fingerprint of a KEK: AES-CMAC under it over a fixed text, computed in
// the token. Never CKA_CHECK_VALUE (24 bits, absent on unwrapped keys), never
// ECB of zeros, which is GCM's hash key: publishing it allows forgeries.
import pkcs11js from 'pkcs11js';
import type { Fingerprint } from '../provider.ts';
import type { GcmCall } from './gcm.ts';
import type { Handle } from './module.ts';

const text = Buffer.from('kleidi/v1 key-fingerprint', 'ascii');
const macBytes = 16;

/** Throws what pkcs11js threw; the caller drops the session then. */
export function fingerprintOf(api: pkcs11js.PKCS11, session: Handle, key: Handle): Fingerprint {
  api.C_SignInit(session, { mechanism: pkcs11js.CKM_AES_CMAC }, key);
  return api.C_Sign(session, text, Buffer.alloc(macBytes)).toString('hex');
}

/** The same for a daemon at work: a slow module does not stop the event loop. */
export async function fingerprintBy(call: GcmCall): Promise<Fingerprint> {
  const { api, mode, session, key } = call;
  if (mode === 'synchronous') return fingerprintOf(api, session, key);
  api.C_SignInit(session, { mechanism: pkcs11js.CKM_AES_CMAC }, key);
  return (await api.C_SignAsync(session, text, Buffer.alloc(macBytes))).toString('hex');
}
