// The child's side of snapshot scan --verify: opens sealed seeds with the token,
// and with each the one object that came with it. Answers whether, never what.

import { createDecipheriv, createHmac } from 'node:crypto';
import { KleidiError } from '../errors.ts';
import { additionalData, open } from '../keyring/envelope.ts';
import { missingKeks } from '../providers/kekidentity.ts';
import { Pkcs11Provider } from '../providers/pkcs11/pkcs11.ts';
import type { Pkcs11Settings } from '../providers/pkcs11/settings.ts';
import type { KekIdentity, Provider } from '../providers/provider.ts';
import type { SealedSeed, SeedAnswer } from './protocol.ts';

/** One answer for each line, until there are no more. */
export async function openSeeds(
  settings: Pkcs11Settings,
  pin: string,
  keks: readonly KekIdentity[],
  lines: AsyncIterable<Record<string, unknown>>,
  answer: (value: SeedAnswer) => void,
): Promise<void> {
  const provider = await Pkcs11Provider.openHere(settings, pin);
  try {
    const usable = await provider.load(keks.map(({ fp }) => fp));
    const held = [...usable].map(([fp, check]) => ({ fp, check }));
    const missing = new Set(missingKeks(keks, held).map(({ fp }) => fp));
    for await (const line of lines) {
      answer(await openOne(provider, missing, line as unknown as SealedSeed));
    }
  } finally {
    await provider.close();
  }
}

async function openOne(
  provider: Provider,
  missing: ReadonlySet<string>,
  seed: SealedSeed,
): Promise<SeedAnswer> {
  try {
    const { alg, fp, body } = open(Buffer.from(seed.source, 'base64'));
    if (missing.has(fp)) throw new KleidiError('kek-missing', `the token does not hold KEK ${fp}`);
    const plain = await provider.unwrap(fp, body, additionalData(alg, fp, seed.keyId));
    const answer = openObject(plain, seed);
    plain.fill(0);
    return answer;
  } catch (error) {
    return { hasOpenedObject: false, why: KleidiError.from(error).message };
  }
}

function openObject(plain: Buffer, { object, sourceType }: SealedSeed): SeedAnswer {
  if (object === undefined) return { hasOpenedObject: false };
  if (opens(plain, sourceType, object.key, Buffer.from(object.data, 'base64'))) {
    return { hasOpenedObject: true };
  }
  return { hasOpenedObject: false, why: 'the seed opens, the object does not' };
}

const infoBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

/**
 * Whether the seed opens the object, as kube-apiserver would. Since Kubernetes 1.29: key =
 * HKDF-Expand-SHA-256(seed, info), data = info 32 | nonce 12 | ciphertext | tag 16,
 * additional data = the etcd key (k8s.io/apiserver, encrypt/aes/aes_extended_nonce.go).
 * Before: the key itself. What is inside is wiped, and never returned.
 */
function opens(seed: Buffer, sourceType: number, etcdKey: string, data: Buffer): boolean {
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
