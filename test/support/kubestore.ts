// Seals objects as kube-apiserver does with KMS v2 since Kubernetes 1.29, by
// the description of the format and not by any code of kleidi.
import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import type { KmsClient } from './client.ts';
import type { Entry } from './etcd.ts';

export interface SealedSeed {
  readonly plain: Buffer;
  readonly ciphertext: Buffer;
  readonly keyId: string;
}

/** One seed, as an API server makes at its start and at each new key id. */
export async function newSeed(client: KmsClient): Promise<SealedSeed> {
  const plain = randomBytes(32);
  const { ciphertext, keyId } = await client.encrypt(plain);
  return { plain, ciphertext, keyId };
}

/** An entry of etcd: HKDF-Expand(seed, info) is the key, the etcd key is bound in. */
export function sealObject(
  key: string,
  content: Buffer,
  seed: SealedSeed,
  provider = 'kleidi',
): Entry {
  const [info, nonce] = [randomBytes(32), randomBytes(12)];
  const dek = createHmac('sha256', seed.plain)
    .update(info)
    .update(Buffer.from([1]))
    .digest();
  const cipher = createCipheriv('aes-256-gcm', dek, nonce).setAAD(Buffer.from(key));
  const sealed = Buffer.concat([cipher.update(content), cipher.final(), cipher.getAuthTag()]);
  const message = Buffer.concat([
    field(1, Buffer.concat([info, nonce, sealed])),
    field(2, Buffer.from(seed.keyId)),
    field(3, seed.ciphertext),
    Buffer.from([5 << 3, 1]),
  ]);
  return [key, Buffer.concat([Buffer.from(`k8s:enc:kms:v2:${provider}:`), message])];
}

/** What an object in clear looks like: magic and protobuf. */
export function clearObject(key: string, content = 'in clear'): Entry {
  return [key, Buffer.concat([Buffer.from('k8s\0'), field(1, Buffer.from(content))])];
}

function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest > 127 ? (rest % 128) | 128 : rest);
    if (rest <= 127) return Buffer.from(bytes);
  }
}
