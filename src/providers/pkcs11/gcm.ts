// AES-256-GCM on a session: body = nonce 12 | ciphertext | tag 16.
// Every length is checked before the first C_ call: an empty input leaves a
// SoftHSM 2.6.1 session in "operation active" for ever.
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../errors.ts';
import type { Handle } from './module.ts';
import { type NonceSource, nonceBytes } from './nonces.ts';

export const tagBytes = 16;

export interface GcmCall {
  readonly api: pkcs11js.PKCS11;
  readonly session: Handle;
  readonly key: Handle;
}

/**
 * Parameter form v240 only: pkcs11js leaves ulIvBits unset in the older one.
 * tagBits is always named: with 0, SoftHSM returns no tag and CKR_OK.
 */
function mechanism(iv: Buffer, aad: Buffer): pkcs11js.Mechanism {
  const parameter: pkcs11js.GcmParams = {
    type: pkcs11js.CK_PARAMS_AES_GCM_v240,
    iv,
    ivBits: nonceBytes * 8,
    aad,
    tagBits: tagBytes * 8,
  };
  return { mechanism: pkcs11js.CKM_AES_GCM, parameter };
}

/** Throws what pkcs11js threw; the caller drops the session then. */
export function encrypt(
  call: GcmCall,
  nonces: NonceSource,
  plaintext: Buffer,
  aad: Buffer,
): Buffer {
  requireNonEmpty(plaintext, aad);
  // Random nonces: at most 2^32 per KEK over all hosts (SP 800-38D, 8.3).
  const body = Buffer.allocUnsafe(nonceBytes + plaintext.length + tagBytes);
  const iv = nonces.next();
  call.api.C_EncryptInit(call.session, mechanism(iv, aad), call.key);
  const room = body.subarray(nonceBytes);
  const sealed = call.api.C_Encrypt(call.session, plaintext, room);
  const due = plaintext.length + tagBytes;
  if (sealed.length !== due) throw badLength('C_Encrypt', sealed.length, due);
  // Read after the call: a module that makes its own nonce writes it here.
  if (iv.every((byte) => byte === 0)) throw zeroNonce();
  iv.copy(body, 0);
  return body;
}

/** As above. */
export function decrypt(call: GcmCall, body: Buffer, aad: Buffer): Buffer {
  if (body.length <= nonceBytes + tagBytes) throw tooShort(body.length);
  requireNonEmpty(aad);
  const iv = Buffer.from(body.subarray(0, nonceBytes));
  const sealed = body.subarray(nonceBytes);
  call.api.C_DecryptInit(call.session, mechanism(iv, aad), call.key);
  const room = Buffer.alloc(sealed.length);
  const opened = call.api.C_Decrypt(call.session, sealed, room);
  const due = sealed.length - tagBytes;
  if (opened.length !== due) throw badLength('C_Decrypt', opened.length, due);
  return opened;
}

function requireNonEmpty(...inputs: Buffer[]): void {
  if (inputs.some((input) => input.length === 0)) {
    throw new KleidiError('internal', 'an empty input must not reach the token');
  }
}

function tooShort(bytes: number): KleidiError {
  return new KleidiError('ciphertext-invalid', `a sealed body of ${bytes} bytes is too short`);
}

function badLength(name: string, got: number, expected: number): KleidiError {
  return new KleidiError('module-failed', `${name} gave ${got} bytes, ${expected} are expected`, {
    hint: 'the PKCS#11 module does not do AES-GCM with a 128-bit tag as the standard says',
  });
}

function zeroNonce(): KleidiError {
  return new KleidiError('module-failed', 'the nonce of a GCM encryption is all zero', {
    hint: 'the PKCS#11 module or its random source is broken: do not use it',
  });
}
