// The key id that kube-apiserver stores with every object:
// k1.<ring>.<generation>.<fingerprint>. Public, the same on every host, and
// never announced twice, because the generation rises at every promotion.
import { createHash } from 'node:crypto';
import { KleidiError } from '../errors.ts';
import type { Fingerprint } from '../providers/provider.ts';

export interface KeyId {
  readonly ring: string;
  readonly generation: number;
  readonly fp: Fingerprint;
}

const ringName = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const keyIdForm = new RegExp(`^k1\\.(${ringName})\\.([1-9][0-9]{0,14})\\.([0-9a-f]{32})$`);
const ringNameForm = new RegExp(`^${ringName}$`);

export function isRingName(text: string): boolean {
  return ringNameForm.test(text);
}

export function isKeyId(text: string): boolean {
  return keyIdForm.test(text);
}

export function formatKeyId({ ring, generation, fp }: KeyId): string {
  return `k1.${ring}.${generation}.${fp}`;
}

/** @throws KleidiError key-id-invalid; there is one text per id, and no other is read */
export function parseKeyId(text: string): KeyId {
  const [, ring, generation, fp] = keyIdForm.exec(text) ?? [];
  if (ring === undefined || generation === undefined || fp === undefined) {
    throw new KleidiError('key-id-invalid', 'the key id is not of the form k1.RING.N.FP');
  }
  return { ring, generation: Number(generation), fp };
}

/** The form in kube-apiserver's metrics and logs (envelope/metrics: key_id_hash). */
export function keyIdHash(keyId: string): string {
  return `sha256:${createHash('sha256').update(keyId).digest('hex')}`;
}
