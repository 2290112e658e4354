// What is wrapped for the offline recovery key, which is two keys: RSA and ML-KEM-1024
// (FIPS 203). The token wraps with RSA-OAEP, as for a host; around that ciphertext comes
// AES-256-GCM under a key from an ML-KEM encapsulation. Who wants to open it must break
// both, so that what is stored for years does not fall with RSA alone.
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  decapsulate,
  encapsulate,
  hkdfSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
} from 'node:crypto';
import { recoveryKeyPrefix, recoveryPartPrefix } from '../providers/domainseparation.ts';
import { publicKeyOfObject } from './publickey.ts';

export interface HybridPublicKey {
  /** SPKI of the RSA key. */
  readonly rsa: Buffer;
  /** SPKI of the ML-KEM-1024 key. */
  readonly kem: Buffer;
  /** The recovery id: SHA-256 over both, 64 hex digits. People compare it, parts name it. */
  readonly fingerprint: string;
}

export interface HybridPrivateKey extends HybridPublicKey {
  readonly rsaPrivate: KeyObject;
  readonly kemPrivate: KeyObject;
}

interface Oaep {
  readonly oaepHash: 'sha1' | 'sha256';
  readonly oaepLabel?: Buffer;
}

export const hybridAlg = 'ml-kem-1024+rsa-oaep';

const kemCiphertextBytes = 1568;
const tagBytes = 16;
/** All that the outer layer adds. */
export const outerBytes = kemCiphertextBytes + tagBytes;

/** Each encapsulation gives a key that encrypts one text, so the nonce is fixed. */
const nonce = Buffer.alloc(12);
const padding = constants.RSA_PKCS1_OAEP_PADDING;

/**
 * Of two public or private keys. The DER of each says its own length, so that no other
 * two keys give the same bytes. Throws an Error that says why a key is not fit.
 */
export function hybridOf(rsaKey: KeyObject, kemKey: KeyObject): HybridPublicKey {
  const { spki: rsa } = publicKeyOfObject(rsaKey);
  const kem = kemSpki(kemKey);
  const id = createHash('sha256').update(recoveryKeyPrefix).update(rsa).update(kem);
  return { rsa, kem, fingerprint: id.digest('hex') };
}

function kemSpki(key: KeyObject): Buffer {
  const type = key.asymmetricKeyType ?? key.type;
  if (type !== 'ml-kem-1024') throw new Error(`it is not an ML-KEM-1024 key but ${type}`);
  const half = key.type === 'private' ? createPublicKey(key) : key;
  return half.export({ format: 'der', type: 'spki' });
}

/**
 * Puts the outer layer around what is RSA-OAEP-wrapped for the RSA half already.
 * @param context what is inside, for whom: opens under no other one
 */
export function sealOuter(wrapped: Buffer, key: HybridPublicKey, context: string): Buffer {
  const kem = createPublicKey({ key: key.kem, format: 'der', type: 'spki' });
  const { sharedKey, ciphertext } = encapsulate(kem);
  const outerKey = deriveKey(sharedKey, ciphertext, key);
  const cipher = createCipheriv('aes-256-gcm', outerKey, nonce).setAAD(Buffer.from(context));
  const body = [cipher.update(wrapped), cipher.final(), cipher.getAuthTag()];
  outerKey.fill(0);
  return Buffer.concat([ciphertext, ...body]);
}

/** Both layers, where no token does the inner one. */
export function seal(plaintext: Buffer, key: HybridPublicKey, context: string, oaep: Oaep): Buffer {
  const rsa = createPublicKey({ key: key.rsa, format: 'der', type: 'spki' });
  return sealOuter(publicEncrypt({ key: rsa, padding, ...oaep }, plaintext), key, context);
}

/**
 * Opens both layers. Throws an Error where a byte of it, its key or its context is another.
 * @returns the plaintext; the caller wipes it
 */
export function open(sealed: Buffer, key: HybridPrivateKey, context: string, oaep: Oaep): Buffer {
  const wrapped = openOuter(sealed, key, context);
  return privateDecrypt({ key: key.rsaPrivate, padding, ...oaep }, wrapped);
}

/** What `sealOuter` got. Throws an Error as `open` does. */
export function openOuter(sealed: Buffer, key: HybridPrivateKey, context: string): Buffer {
  if (sealed.length <= outerBytes) throw new Error('it is too short for an outer layer');
  const ciphertext = sealed.subarray(0, kemCiphertextBytes);
  const sharedKey = decapsulate(key.kemPrivate, ciphertext);
  const outerKey = deriveKey(sharedKey, ciphertext, key);
  const decipher = createDecipheriv('aes-256-gcm', outerKey, nonce, { authTagLength: tagBytes });
  outerKey.fill(0);
  decipher.setAAD(Buffer.from(context)).setAuthTag(sealed.subarray(-tagBytes));
  const body = decipher.update(sealed.subarray(kemCiphertextBytes, -tagBytes));
  return Buffer.concat([body, decipher.final()]);
}

/** Wipes the shared key. OpenSSL takes 1,024 bytes of info, so it gets a hash. */
function deriveKey(sharedKey: Buffer, ciphertext: Buffer, key: HybridPublicKey): Buffer {
  const id = Buffer.from(key.fingerprint, 'hex');
  const bound = createHash('sha256').update(ciphertext).update(id).digest();
  const info = Buffer.concat([Buffer.from(recoveryPartPrefix), bound]);
  const derived = Buffer.from(hkdfSync('sha256', sharedKey, Buffer.alloc(0), info, 32));
  sharedKey.fill(0);
  return derived;
}
