// The attributes of every object that kleidi makes. SoftHSM's default for an
// unnamed use (wrap, unwrap, derive, sign) is TRUE, so all are named.
import pkcs11js from 'pkcs11js';

export type Template = pkcs11js.Template;

/** CKA_ALLOWED_MECHANISMS is an array of CK_ULONG: 8 little-endian bytes each. */
function mechanisms(...numbers: number[]): Buffer {
  const list = Buffer.alloc(8 * numbers.length);
  numbers.forEach((number, i) => {
    list.writeBigUInt64LE(BigInt(number), 8 * i);
  });
  return list;
}

const secretUses = [
  ...[pkcs11js.CKA_ENCRYPT, pkcs11js.CKA_DECRYPT, pkcs11js.CKA_SIGN, pkcs11js.CKA_VERIFY],
  ...[pkcs11js.CKA_WRAP, pkcs11js.CKA_UNWRAP, pkcs11js.CKA_DERIVE],
];
const publicUses = [pkcs11js.CKA_WRAP, pkcs11js.CKA_ENCRYPT, pkcs11js.CKA_VERIFY];
const privateUses = [
  ...[pkcs11js.CKA_UNWRAP, pkcs11js.CKA_DECRYPT, pkcs11js.CKA_SIGN],
  ...[pkcs11js.CKA_SIGN_RECOVER, pkcs11js.CKA_DERIVE],
];

/** Every use of such an object by name: those allowed, and no other. */
function uses(all: readonly number[], ...allowed: readonly number[]): Template {
  return all.map((type) => ({ type, value: allowed.includes(type) }));
}

const secretKey: Template = [
  { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
  { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_AES },
  { type: pkcs11js.CKA_PRIVATE, value: true },
  { type: pkcs11js.CKA_SENSITIVE, value: true },
];

/** A KEK as it is kept: usable for GCM and CMAC, and for nothing else. */
export function kekTemplate(place: 'token' | 'memory', label: string, id: Buffer): Template {
  return [
    ...secretKey,
    { type: pkcs11js.CKA_TOKEN, value: place === 'token' },
    { type: pkcs11js.CKA_EXTRACTABLE, value: false },
    ...uses(secretUses, pkcs11js.CKA_ENCRYPT, pkcs11js.CKA_DECRYPT, pkcs11js.CKA_SIGN),
    {
      type: pkcs11js.CKA_ALLOWED_MECHANISMS,
      value: mechanisms(pkcs11js.CKM_AES_GCM, pkcs11js.CKM_AES_CMAC),
    },
    { type: pkcs11js.CKA_LABEL, value: label },
    { type: pkcs11js.CKA_ID, value: id },
  ];
}

const macOnly = uses(secretUses, pkcs11js.CKA_SIGN);

/** A KEK at its birth: extractable, and therefore only ever in memory. */
export const newbornKekTemplate: Template = [
  ...secretKey,
  { type: pkcs11js.CKA_TOKEN, value: false },
  { type: pkcs11js.CKA_EXTRACTABLE, value: true },
  { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
  ...macOnly,
];

/** For `unwrapping.ts`: a KEK's bytes as an HMAC key, in memory. */
export const lengthProbeTemplate: Template = [
  { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
  { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_GENERIC_SECRET },
  { type: pkcs11js.CKA_TOKEN, value: false },
  { type: pkcs11js.CKA_PRIVATE, value: true },
  { type: pkcs11js.CKA_SENSITIVE, value: true },
  { type: pkcs11js.CKA_EXTRACTABLE, value: false },
  ...macOnly,
  { type: pkcs11js.CKA_ALLOWED_MECHANISMS, value: mechanisms(pkcs11js.CKM_SHA256_HMAC) },
];

const publicKey: Template = [
  { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PUBLIC_KEY },
  { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_RSA },
  { type: pkcs11js.CKA_TOKEN, value: false },
  { type: pkcs11js.CKA_PRIVATE, value: false },
  ...uses(publicUses, pkcs11js.CKA_WRAP),
];

/** A recipient's public key, in memory for one wrap. */
export function recipientTemplate(modulus: Buffer, exponent: Buffer): Template {
  return [
    ...publicKey,
    { type: pkcs11js.CKA_MODULUS, value: modulus },
    { type: pkcs11js.CKA_PUBLIC_EXPONENT, value: exponent },
  ];
}

/** By this CKA_ID the transport key of an open request is known. */
export const requestId = Buffer.from('kleidi/v1 request', 'ascii');

/**
 * A transport key pair: it unwraps by RSA-OAEP and nothing else. In memory for
 * the one run that makes a KEK, in the token for a request. The public half is
 * never kept: the private object holds modulus and exponent as well.
 */
export function transportTemplates(place: 'token' | 'memory'): {
  readonly public: Template;
  readonly private: Template;
} {
  return {
    public: [
      ...publicKey,
      { type: pkcs11js.CKA_MODULUS_BITS, value: 3072 },
      { type: pkcs11js.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
    ],
    private: [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
      { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_RSA },
      { type: pkcs11js.CKA_TOKEN, value: place === 'token' },
      { type: pkcs11js.CKA_PRIVATE, value: true },
      { type: pkcs11js.CKA_SENSITIVE, value: true },
      { type: pkcs11js.CKA_EXTRACTABLE, value: false },
      ...uses(privateUses, pkcs11js.CKA_UNWRAP),
      {
        type: pkcs11js.CKA_ALLOWED_MECHANISMS,
        value: mechanisms(pkcs11js.CKM_RSA_PKCS_OAEP),
      },
      { type: pkcs11js.CKA_LABEL, value: 'kleidi request' },
      { type: pkcs11js.CKA_ID, value: requestId },
    ],
  };
}
