// What kube-apiserver has stored under one etcd key: in clear, sealed by KMS v2
// or by another provider. Forms: k8s.io/apiserver, storage/value/encrypt and
// kmstypes/v2 (EncryptedObject). Nothing is opened here.
import { readFields } from './wire.ts';

export interface KmsSeal {
  readonly kind: 'kms-v2';
  /** As the EncryptionConfiguration names it. */
  readonly provider: string;
  readonly keyId: string;
  /** What a KMS plugin has made of the seed: one for many objects. */
  readonly source: Buffer;
  /** 1: a seed, one key for each object is derived from it. 0: the key itself. */
  readonly sourceType: number;
  readonly hasAnnotations: boolean;
}

export type Seal =
  | { readonly kind: 'clear' }
  /** A provider that is no KMS v2: aescbc, aesgcm, secretbox, kms v1, with the key's name. */
  | { readonly kind: 'other'; readonly provider: string; readonly name: string }
  | { readonly kind: 'malformed'; readonly provider: string }
  | KmsSeal;

interface StoredObject {
  readonly seal: Seal;
  /** Of KMS v2; empty else. */
  readonly data: Buffer;
}

const sealedPrefix = Buffer.from('k8s:enc:', 'ascii');
/** Longest head that is looked for a prefix; names are at most 253 bytes. */
const maxHeadBytes = 512;
const noData = Buffer.alloc(0);
const clear: StoredObject = { seal: { kind: 'clear' }, data: noData };

export function parseStoredObject(value: Buffer): StoredObject {
  if (!value.subarray(0, sealedPrefix.length).equals(sealedPrefix)) return clear;
  const head = value.toString('latin1', 0, maxHeadBytes);
  const [prefix, scheme = 'unknown', version = '', name = ''] =
    /^k8s:enc:([a-z0-9]+):(v[0-9]+):([^:]*):/.exec(head) ?? [];
  if (prefix !== undefined && scheme === 'kms' && version === 'v2') {
    return parseKms(name, value.subarray(prefix.length));
  }
  const provider = scheme === 'kms' ? `kms ${version}` : scheme;
  return { seal: { kind: 'other', provider, name }, data: noData };
}

function parseKms(provider: string, message: Buffer): StoredObject {
  const fields = readFields(message);
  const [data, keyId, source] = [1, 2, 3].map((field) => fields?.bytes(field) ?? noData);
  if (fields === undefined || !data?.length || !keyId?.length || !source?.length) {
    return { seal: { kind: 'malformed', provider }, data: noData };
  }
  const seal: KmsSeal = {
    kind: 'kms-v2',
    provider,
    keyId: keyId.toString('utf8'),
    source,
    sourceType: fields.number(5),
    hasAnnotations: fields.bytes(4).length > 0,
  };
  return { seal, data };
}
