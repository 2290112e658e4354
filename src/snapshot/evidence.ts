// What a snapshot tells of its own origin and age: which cluster it is of, and until
// when API servers had written to it. Collected while its revisions go by, from the few
// fields of objects of kube-apiserver in clear, stored as protobuf ('k8s\0' and
// runtime.Unknown) or as JSON. Field numbers: generated.proto of k8s.io/apimachinery
// (runtime, meta/v1) and k8s.io/api (coordination/v1).
import { recordIn } from '../jsonvalue.ts';
import { readFields } from './wire.ts';

export interface Evidence {
  /** kube-apiserver's --etcd-prefix by which it was read, without a slash at its end. */
  readonly prefix: string;
  /** UID of the namespace kube-system; null where there is none that can be read. */
  readonly clusterUid: string | null;
  /** Newest renewTime of a Lease kube-system/apiserver-* in it; null where none can be read. */
  readonly newestLeaseUnixMs: number | null;
  /** Leases of API servers, as they are now, that cannot be read: sealed, or of another form. */
  readonly unreadableLeases: number;
}

export class EvidenceCollector {
  readonly #prefix: string;
  readonly #namespaceKey: string;
  readonly #leaseStart: string;
  readonly #unreadable = new Set<string>();
  #clusterUid: string | null = null;
  #newestLeaseUnixMs: number | null = null;

  /** @param prefix with a slash at its end */
  constructor(prefix: string) {
    this.#prefix = prefix;
    this.#namespaceKey = `${prefix}namespaces/kube-system`;
    this.#leaseStart = `${prefix}leases/kube-system/apiserver-`;
  }

  put(key: string, value: Buffer): void {
    if (key === this.#namespaceKey) this.#clusterUid = namespaceUid(value) ?? null;
    if (!key.startsWith(this.#leaseStart)) return;
    const unixMs = leaseRenewUnixMs(value);
    if (unixMs === undefined) {
      this.#unreadable.add(key);
      return;
    }
    this.#unreadable.delete(key);
    this.#newestLeaseUnixMs = Math.max(this.#newestLeaseUnixMs ?? 0, unixMs);
  }

  /** What a lease has said stays true; a namespace that is gone names no cluster. */
  remove(key: string): void {
    if (key === this.#namespaceKey) this.#clusterUid = null;
    this.#unreadable.delete(key);
  }

  evidence(): Evidence {
    return {
      prefix: this.#prefix.slice(0, -1),
      clusterUid: this.#clusterUid,
      newestLeaseUnixMs: this.#newestLeaseUnixMs,
      unreadableLeases: this.#unreadable.size,
    };
  }
}

const magic = Buffer.from('k8s\0', 'latin1');
/** An object that is read here is far smaller; a larger one is none of ours. */
const maxBytes = 64 << 10;
/** The year 9999, in seconds. */
const maxSeconds = 253_402_300_799;

/** metadata.uid of a Namespace; undefined where it is sealed, or cannot be read. */
function namespaceUid(value: Buffer): string | undefined {
  const raw = rawOf(value, 'Namespace');
  if (raw !== undefined) {
    const uid = nested(raw, 1)?.bytes(5).toString('utf8');
    return uid === '' ? undefined : uid;
  }
  const uid = jsonOf(value, 'Namespace')?.metadata?.uid;
  return typeof uid === 'string' && uid !== '' ? uid : undefined;
}

/** spec.renewTime of a Lease, in ms since 1970; undefined where it is sealed, or cannot be read. */
function leaseRenewUnixMs(value: Buffer): number | undefined {
  const raw = rawOf(value, 'Lease');
  if (raw === undefined) {
    const text = jsonOf(value, 'Lease')?.spec?.renewTime;
    const unixMs = typeof text === 'string' ? Date.parse(text) : Number.NaN;
    return Number.isNaN(unixMs) ? undefined : unixMs;
  }
  const time = readFields(nested(raw, 2)?.bytes(4) ?? Buffer.alloc(0));
  const seconds = time?.number(1) ?? 0;
  if (time === undefined || seconds === 0 || seconds > maxSeconds) return undefined;
  return seconds * 1_000 + Math.floor(time.number(2) / 1e6);
}

/** Unknown.raw, where Unknown.typeMeta.kind is this one. */
function rawOf(value: Buffer, kind: string): Buffer | undefined {
  if (value.length > maxBytes || !value.subarray(0, magic.length).equals(magic)) return undefined;
  const unknown = readFields(value.subarray(magic.length));
  if (unknown === undefined) return undefined;
  return readFields(unknown.bytes(1))?.bytes(2).toString('utf8') === kind
    ? unknown.bytes(2)
    : undefined;
}

function nested(message: Buffer, field: number) {
  const outer = readFields(message);
  return outer && readFields(outer.bytes(field));
}

interface PlainObject {
  readonly kind?: unknown;
  readonly metadata?: { readonly uid?: unknown };
  readonly spec?: { readonly renewTime?: unknown };
}

function jsonOf(value: Buffer, kind: string): PlainObject | undefined {
  if (value.length > maxBytes || value[0] !== 0x7b) return undefined;
  const plain: PlainObject | undefined = recordIn(value.toString('utf8'));
  return plain?.kind === kind ? plain : undefined;
}
