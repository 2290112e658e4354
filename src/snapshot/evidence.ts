// What a snapshot tells of its own origin and age: which cluster it is of, and until
// when API servers had written to it. Collected while its revisions go by.
import { leaseRenewUnixMs, namespaceUid } from './apiobject.ts';

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
