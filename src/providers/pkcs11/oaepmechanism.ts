// RSA-OAEP as a mechanism of PKCS#11: hash and mask by one hash, with an empty label.
import pkcs11js from 'pkcs11js';
import type { OaepHash } from '../provider.ts';

/** CKZ_DATA_SPECIFIED, which pkcs11js does not name: the label is given, and empty. */
const dataSpecified = 1;

const hashes = {
  sha1: { hashAlg: pkcs11js.CKM_SHA_1, mgf: pkcs11js.CKG_MGF1_SHA1 },
  sha256: { hashAlg: pkcs11js.CKM_SHA256, mgf: pkcs11js.CKG_MGF1_SHA256 },
} as const;

export function oaepMechanism(hash: OaepHash): pkcs11js.Mechanism {
  const parameter: pkcs11js.RsaOAEP = {
    type: pkcs11js.CK_PARAMS_RSA_OAEP,
    ...hashes[hash],
    source: dataSpecified,
  };
  return { mechanism: pkcs11js.CKM_RSA_PKCS_OAEP, parameter };
}
