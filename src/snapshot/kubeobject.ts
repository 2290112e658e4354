// Opens one object as kube-apiserver would, to prove that a seed is the right
// one. Since Kubernetes 1.29: key = HKDF-Expand-SHA-256(seed, info), data = info
// 32 | nonce 12 | ciphertext | tag 16, additional data = the etcd key
// (k8s.io/apiserver, encrypt/aes/aes_extended_nonce.go). Before: the key itself.
import { createDecipheriv, createHmac } from 'node:crypto';

const infoBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

/** Whether the seed opens the object. What is inside is wiped, and never returned. */
export function opens(seed: Buffer, sourceType: number, etcdKey: string, data: Buffer): boolean {
  const isSeed = sourceType === 1;
  const sealed = isSeed ? data.subarray(infoBytes) : data;
  if (sealed.length < nonceBytes + tagBytes) return false;
  const key = isSeed ? expand(seed, data.subarray(0, infoBytes)) : seed;
  try {
    return opensGcm(key, sealed, Buffer.from(etcdKey, 'utf8'));
  } catch {
    return false;
  } finally {
    if (isSeed) key.fill(0);
  }
}

/** HKDF-Expand (RFC 5869) to 32 bytes: one block. */
function expand(seed: Buffer, info: Buffer): Buffer {
  return createHmac('sha256', seed)
    .update(info)
    .update(Buffer.from([1]))
    .digest();
}

function opensGcm(key: Buffer, sealed: Buffer, aad: Buffer): boolean {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(aad).setAuthTag(sealed.subarray(-tagBytes));
  decipher.update(sealed.subarray(nonceBytes, -tagBytes)).fill(0);
  decipher.final();
  return true;
}
