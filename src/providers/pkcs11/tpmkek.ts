// The KEKs of a TPM, which does no AES-GCM: a KEK is an RSA-2048 key and an HMAC key with
// the same CKA_ID, both made in the TPM. Body = OAEP ciphertext 256 | HMAC 32. Whoever has
// the public key can make a ciphertext; the HMAC says that the TPM's owner did, and is compared
// before the TPM decrypts anything. Formats: docs/formats.md, sections 2 and 4.
import {
  constants,
  createHash,
  createPublicKey,
  publicEncrypt,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../errors.ts';
import { algorithmOf } from '../algorithm.ts';
import { fingerprintText } from '../domainseparation.ts';
import type { KekIdentity } from '../provider.ts';
import { ckrOf } from './ckr.ts';
import { attributeOf, findInToken, inOwnSession } from './kek.ts';
import type { Handle } from './module.ts';
import type { NonceSource } from './nonces.ts';
import { oaepMechanism } from './oaepmechanism.ts';
import { isTokenLost } from './recoverypolicy.ts';
import type { Findings, FoundKek, KeyCall, KeyScheme } from './scheme.ts';
import type { Token } from './token.ts';

const rsaBytes = 256;
const macBytes = 32;
const { maxPlaintextBytes } = algorithmOf('tpm');
/** Of what is sealed with: the header of a ciphertext, before the key id. */
const headerBytes = 20;
const identityBytes = 16;

export const tpmScheme: KeyScheme = {
  mechanisms: [
    [pkcs11js.CKM_RSA_PKCS_OAEP, 'CKM_RSA_PKCS_OAEP'],
    [pkcs11js.CKM_SHA256_HMAC, 'CKM_SHA256_HMAC'],
  ],
  find,
  atItsBest: (_token, kek) => kek,
  identify,
  seal,
  unseal,
};

/** Each private RSA key that has an HMAC key beside it. */
function find(token: Token): Findings {
  const keks: FoundKek[] = [];
  const unusable: Handle[] = [];
  const macKeys = findInToken(token, pkcs11js.CKO_SECRET_KEY, pkcs11js.CKK_SHA256_HMAC);
  const partners = new Map(macKeys.map((key) => [idOf(token, key), key]));
  for (const handle of findInToken(token, pkcs11js.CKO_PRIVATE_KEY, pkcs11js.CKK_RSA)) {
    try {
      keks.push(foundKek(token, handle, partners.get(idOf(token, handle))));
    } catch (error) {
      if (isTokenLost(ckrOf(error))) throw error;
      unusable.push(handle);
    }
  }
  return { keks, unusable };
}

function foundKek(token: Token, handle: Handle, hmac: Handle | undefined): FoundKek {
  const { api } = token.module;
  const [modulus, exponent] = [pkcs11js.CKA_MODULUS, pkcs11js.CKA_PUBLIC_EXPONENT].map((type) =>
    attributeOf(token, handle, type),
  );
  if (hmac === undefined || modulus?.length !== rsaBytes || exponent === undefined) {
    throw new KleidiError('token-damaged', 'a key of the TPM is half of a KEK');
  }
  const kek = { handle, partner: { hmac, spki: spkiOf(modulus, exponent) }, fp: '', check: '' };
  const identity = inOwnSession(token, (session) => identify({ api, session, kek }));
  return { ...kek, ...identity };
}

function spkiOf(modulus: Buffer, exponent: Buffer): Buffer {
  const [n, e] = [modulus.toString('base64url'), exponent.toString('base64url')];
  const key = createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' });
  return key.export({ type: 'spki', format: 'der' });
}

function idOf(token: Token, handle: Handle): string {
  return attributeOf(token, handle, pkcs11js.CKA_ID)?.toString('hex') ?? '';
}

/** By the HMAC key over the public key, so that both name the KEK; and the private one is tried. */
function identify(call: KeyCall): KekIdentity {
  const { spki } = partnerOf(call.kek);
  const trial = randomBytes(identityBytes);
  if (!decrypt(call, encrypt(spki, trial)).equals(trial)) {
    throw new KleidiError('module-failed', 'the TPM opens what its public key sealed wrongly');
  }
  const text = Buffer.from(fingerprintText, 'ascii');
  const mac = hmac(call, [text, createHash('sha256').update(spki).digest()]);
  const [fp, check] = [mac.subarray(0, identityBytes), mac.subarray(identityBytes)];
  return { fp: fp.toString('hex'), check: check.toString('hex') };
}

/** The public key needs no TPM. */
function seal(call: KeyCall, _nonces: NonceSource, plaintext: Buffer, aad: Buffer): Buffer {
  if (plaintext.length === 0 || plaintext.length > maxPlaintextBytes) {
    throw new KleidiError('plaintext-invalid', `a TPM seals 1 to ${maxPlaintextBytes} bytes`);
  }
  const ciphertext = encrypt(partnerOf(call.kek).spki, plaintext);
  return Buffer.concat([ciphertext, macOf(call, ciphertext, aad)]);
}

function unseal(call: KeyCall, body: Buffer, aad: Buffer): Buffer {
  if (body.length !== rsaBytes + macBytes) {
    throw invalid(`has a body of ${body.length} bytes, not ${rsaBytes + macBytes}`);
  }
  const ciphertext = body.subarray(0, rsaBytes);
  if (!timingSafeEqual(macOf(call, ciphertext, aad), body.subarray(rsaBytes))) {
    throw invalid('was not made with this KEK under this key id, or was changed');
  }
  return decrypt(call, ciphertext);
}

function macOf(call: KeyCall, ciphertext: Buffer, aad: Buffer): Buffer {
  const keyId = aad.subarray(headerBytes);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(keyId.length);
  return hmac(call, [aad.subarray(0, headerBytes), length, keyId, ciphertext]);
}

function hmac({ api, session, kek }: KeyCall, parts: readonly Buffer[]): Buffer {
  api.C_SignInit(session, { mechanism: pkcs11js.CKM_SHA256_HMAC }, partnerOf(kek).hmac);
  const mac = api.C_Sign(session, Buffer.concat(parts), Buffer.alloc(macBytes));
  if (mac.length === macBytes) return mac;
  throw new KleidiError('module-failed', `an HMAC of the TPM has ${mac.length} bytes`);
}

function encrypt(spki: Buffer, plaintext: Buffer): Buffer {
  const key = createPublicKey({ key: spki, type: 'spki', format: 'der' });
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return publicEncrypt({ key, padding, oaepHash: 'sha256' }, plaintext);
}

/** The module demands a buffer of exactly the modulus' length (tpm2-pkcs11 1.9). */
function decrypt({ api, session, kek }: KeyCall, ciphertext: Buffer): Buffer {
  api.C_DecryptInit(session, oaepMechanism('sha256'), kek.handle);
  const room = Buffer.alloc(rsaBytes);
  // The room is wiped: what is returned may be a part of it.
  const opened = Buffer.from(api.C_Decrypt(session, ciphertext, room));
  room.fill(0);
  return opened;
}

function partnerOf({ fp, partner }: FoundKek): NonNullable<FoundKek['partner']> {
  if (partner !== undefined) return partner;
  throw new KleidiError('internal', `KEK ${fp} is not one of a TPM`);
}

function invalid(why: string): KleidiError {
  return new KleidiError('ciphertext-invalid', `the ciphertext ${why}`);
}
