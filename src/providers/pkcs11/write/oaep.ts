// RSA-OAEP inside the token: how KEKs travel. SHA-1 where the module has no
// more (SoftHSM 2.6 and 2.7); inside OAEP it is not a collision matter. The
// hash is named in every bundle, never guessed.
import { createPublicKey, type KeyObject } from 'node:crypto';
import type pkcs11js from 'pkcs11js';
import { KleidiError, reasonOf } from '../../../errors.ts';
import type { KekIdentity, OaepHash } from '../../provider.ts';
import { requireRsaKey } from '../../rsakey.ts';
import type { Handle } from '../module.ts';
import { oaepMechanism } from '../oaepmechanism.ts';
import { recipientTemplate, type Template } from './template.ts';

/** A KEK as it travels to this token. */
export interface WrappedPart extends KekIdentity {
  readonly oaepHash: OaepHash;
  readonly privateKey: Handle;
  readonly wrapped: Buffer;
  readonly label: string;
}

export function wrapKey(
  api: pkcs11js.PKCS11,
  session: Handle,
  hash: OaepHash,
  publicKey: Handle,
  key: Handle,
): Buffer {
  // Room for RSA-8192; the module says how much it used.
  return Buffer.from(
    api.C_WrapKey(session, oaepMechanism(hash), publicKey, key, Buffer.alloc(1024)),
  );
}

export function unwrapKey(
  api: pkcs11js.PKCS11,
  session: Handle,
  hash: OaepHash,
  privateKey: Handle,
  wrapped: Buffer,
  template: Template,
): Handle {
  return api.C_UnwrapKey(session, oaepMechanism(hash), privateKey, wrapped, template);
}

/** @throws KleidiError refused where the key is not one that a KEK may be wrapped for */
export function importRecipient(api: pkcs11js.PKCS11, session: Handle, spki: Buffer): Handle {
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  requireFit(key);
  const { n = '', e = '' } = key.export({ format: 'jwk' });
  const [modulus, exponent] = [Buffer.from(n, 'base64url'), Buffer.from(e, 'base64url')];
  return api.C_CreateObject(session, recipientTemplate(modulus, exponent));
}

function requireFit(key: KeyObject): void {
  try {
    requireRsaKey(key);
  } catch (cause) {
    const why = reasonOf(cause);
    throw new KleidiError('refused', `a recipient key is not fit: ${why}`, {
      hint: 'make it with: kleidi recovery create, or kleidi key request',
      cause,
    });
  }
}
