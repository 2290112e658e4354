// Counts objects by resource and seal as their revisions go by, oldest first.
// Only the last revision of a key is the object; older ones disappear by
// compaction. Holds one number a key, and one record a distinct seal.
import { type KmsSeal, parseStoredObject, type Seal } from './storedobject.ts';

/** One sealed object, to prove that a seed opens what it should. */
interface Sample {
  readonly key: string;
  readonly data: Buffer;
}

export interface SealCount {
  readonly resource: string;
  readonly seal: Seal;
  /** Objects as they are now. */
  readonly live: number;
  /** Earlier states of objects, and objects that have been deleted. */
  readonly older: number;
  /** The etcd key of one of them. */
  readonly example: string;
  readonly sample: Sample | undefined;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const maxSampleBytes = 16 << 10;
const maxSamplesBytes = 32 << 20;

export class Tally {
  readonly #counts: Mutable<SealCount>[] = [];
  readonly #indexes = new Map<string, number>();
  readonly #last = new Map<string, number>();
  #sampledBytes = 0;

  put(key: string, resource: string, value: Buffer): void {
    const { seal, data } = parseStoredObject(value);
    const index = this.#indexOf(resource, seal, key);
    const count = this.#counts[index];
    if (count !== undefined) {
      count.live += 1;
      this.#sample(count, key, data);
    }
    this.remove(key);
    this.#last.set(key, index);
  }

  /** The key is deleted, or has a newer revision. */
  remove(key: string): void {
    const count = this.#counts[this.#last.get(key) ?? -1];
    if (count === undefined) return;
    count.live -= 1;
    count.older += 1;
    this.#last.delete(key);
  }

  counts(): readonly SealCount[] {
    return this.#counts;
  }

  #indexOf(resource: string, seal: Seal, example: string): number {
    const which = seal.kind === 'kms-v2' ? sealIdentity(seal) : JSON.stringify(seal);
    const identity = `${resource}\n${which}`;
    const known = this.#indexes.get(identity);
    if (known !== undefined) return known;
    // A copy: the page that the seal is a part of must not stay in memory.
    const kept = seal.kind === 'kms-v2' ? { ...seal, source: Buffer.from(seal.source) } : seal;
    const index = this.#counts.push({
      ...{ resource, seal: kept, example, sample: undefined },
      ...{ live: 0, older: 0 },
    });
    this.#indexes.set(identity, index - 1);
    return index - 1;
  }

  #sample(count: Mutable<SealCount>, key: string, data: Buffer): void {
    if (count.sample !== undefined || data.length === 0 || data.length > maxSampleBytes) return;
    if (this.#sampledBytes + data.length > maxSamplesBytes) return;
    this.#sampledBytes += data.length;
    count.sample = { key, data: Buffer.from(data) };
  }
}

/** Equal where a plugin would be asked the same. */
export function sealIdentity(seal: KmsSeal): string {
  const { provider, keyId, sourceType, hasAnnotations, source } = seal;
  return `${provider} ${keyId} ${sourceType} ${hasAnnotations} ${source.toString('latin1')}`;
}
