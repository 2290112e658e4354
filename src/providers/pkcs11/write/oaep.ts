// RSA-OAEP inside the token: how KEKs travel. SHA-1 where the module has no
// more (SoftHSM 2.6 and 2.7); inside OAEP it is not a collision matter. The
// hash is named in every bundle, never guessed.
import { createPublicKey, type KeyObject } from 'node:crypto';
import pkcs11js from 'pkcs11js';
import { KleidiError, reasonOf } from '../../../errors.ts';
import type { KekIdentity, OaepHash } from '../../provider.ts';
import { requireRsaKey } from '../../rsakey.ts';
import type { Handle } from '../module.ts';
import { recipientTemplate, type Template } from './template.ts';

/** A KEK as it travels to this token. */
export interface WrappedPart extends KekIdentity {
  readonly oaepHash: OaepHash;
  readonly privateKey: Handle;
  readonly wrapped: Buffer;
  readonly label: string;
}

/** CKZ_DATA_SPECIFIED, which pkcs11js does not name: the label is given, and empty. */
const dataSpecified = 1;

const hashes = {
  sha1: { hashAlg: pkcs11js.CKM_SHA_1, mgf: pkcs11js.CKG_MGF1_SHA1 },
  sha256: { hashAlg: pkcs11js.CKM_SHA256, mgf: pkcs11js.CKG_MGF1_SHA256 },
} as const;

function mechanism(hash: OaepHash): pkcs11js.Mechanism {
  const parameter: pkcs11js.RsaOAEP = {
    type: pkcs11js.CK_PARAMS_RSA_OAEP,
    ...hashes[hash],
    source: dataSpecified,
  };
  return { mechanism: pkcs11js.CKM_RSA_PKCS_OAEP, parameter };
}

export function wrapKey(
  api: pkcs11js.PKCS11,
  session: Handle,
  hash: OaepHash,
  publicKey: Handle,
  key: Handle,
): Buffer {
  // Room for RSA-8192; the module says how much it used.
  return Buffer.from(api.C_WrapKey(session, mechanism(hash), publicKey, key, Buffer.alloc(1024)));
}

export function unwrapKey(
  api: pkcs11js.PKCS11,
  session: Handle,
  hash: OaepHash,
  privateKey: Handle,
  wrapped: Buffer,
  template: Template,
): Handle {
  return api.C_UnwrapKey(session, mechanism(hash), privateKey, wrapped, template);
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
