// A bbolt file, read page by page and never written: the file is opened
// read-only and without its lock. Strict: a page outside the file, under another
// number or reached twice is damage. Of its two meta pages the valid one with the higher
// transaction id counts. Form: go.etcd.io/bbolt, internal/common/meta.go; all numbers
// little-endian, as every machine that runs etcd writes them.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { KleidiError, reasonOf } from '../errors.ts';

interface Meta {
  readonly pageSize: number;
  /** First page of the bucket that holds all others. */
  readonly root: number;
  /** Pages from here on are not in use, whatever the length of the file. */
  readonly highWater: number;
  readonly transaction: bigint;
}

const metaMagic = 0xed0cdaed;
const metaVersion = 2;
const metaBytes = 64;
const checksumAt = 56;
/** The second meta page follows the first: at one of the page sizes there are. */
const pageSizes = Array.from({ length: 16 }, (_, i) => 1024 << i);

/** The meta page in force, or undefined where the file has none that is whole. */
function readMeta(fd: number): Meta | undefined {
  const found = [0, ...pageSizes].map((offset) => metaAt(fd, offset));
  return found.reduce((best, meta) => {
    if (meta === undefined) return best;
    return best === undefined || meta.transaction > best.transaction ? meta : best;
  }, undefined);
}

function metaAt(fd: number, offset: number): Meta | undefined {
  const bytes = Buffer.alloc(metaBytes);
  const count = readSync(fd, bytes, 0, metaBytes, offset + pageHeaderBytes);
  if (count < metaBytes || bytes.readUInt32LE(0) !== metaMagic) return undefined;
  if (bytes.readUInt32LE(4) !== metaVersion) return undefined;
  if (bytes.readBigUInt64LE(checksumAt) !== fnv64a(bytes.subarray(0, checksumAt))) return undefined;
  const pageSize = bytes.readUInt32LE(8);
  if (!pageSizes.includes(pageSize) || (offset !== 0 && offset !== pageSize)) return undefined;
  return {
    pageSize,
    root: Number(bytes.readBigUInt64LE(16)),
    highWater: Number(bytes.readBigUInt64LE(40)),
    transaction: bytes.readBigUInt64LE(48),
  };
}

function fnv64a(bytes: Buffer): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}

export interface Page {
  readonly kind: 'branch' | 'leaf';
  readonly count: number;
  /** With its header: offsets of elements count from the element itself. */
  readonly bytes: Buffer;
}

export const pageHeaderBytes = 16;
const flagsOf = { branch: 0x01, leaf: 0x02 } as const;
/** One object and its page: etcd refuses more than a few MiB. */
const maxPageBytes = 64 << 20;

export class PageFile {
  readonly path: string;
  readonly meta: Meta;
  readonly #fd: number;
  readonly #seen: Uint8Array;

  private constructor(path: string, fd: number, meta: Meta) {
    this.path = path;
    this.meta = meta;
    this.#fd = fd;
    this.#seen = new Uint8Array(Math.ceil(meta.highWater / 8));
  }

  /** @throws KleidiError snapshot-invalid */
  static open(path: string): PageFile {
    const fd = openReadOnly(path);
    try {
      const meta = readMeta(fd);
      if (meta === undefined) throw damaged(path, whatElse(fd));
      requireLength(path, fstatSync(fd).size, meta);
      return new PageFile(path, fd, meta);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Whether a running etcd has written since: pages may have been used anew. */
  get hasChanged(): boolean {
    return readMeta(this.#fd)?.transaction !== this.meta.transaction;
  }

  /** @throws KleidiError snapshot-invalid */
  page(id: number): Page {
    this.#take(id);
    const { pageSize, highWater } = this.meta;
    const first = this.#read(id * pageSize, pageSize);
    const overflow = first.readUInt32LE(12);
    if (Number(first.readBigUInt64LE(0)) !== id) throw this.damage(id, 'has another number');
    const bytes = (overflow + 1) * pageSize;
    if (id + overflow >= highWater || bytes > maxPageBytes) {
      throw this.damage(id, `claims ${overflow} more pages`);
    }
    return this.parse(overflow === 0 ? first : this.#read(id * pageSize, bytes), id);
  }

  /** Also for the pages that small buckets hold inside their parent. */
  parse(bytes: Buffer, id: number): Page {
    if (bytes.length < pageHeaderBytes) throw this.damage(id, 'is cut short');
    const flags = bytes.readUInt16LE(8);
    const count = bytes.readUInt16LE(10);
    if (flags === flagsOf.leaf) return { kind: 'leaf', count, bytes };
    if (flags === flagsOf.branch && count > 0) return { kind: 'branch', count, bytes };
    throw this.damage(id, `is neither branch nor leaf (flags ${flags})`);
  }

  damage(id: number, what: string): Error {
    return damaged(this.path, `page ${id} ${what}`);
  }

  /** A tree reaches each page once; a loop would never end. */
  #take(id: number): void {
    const { highWater } = this.meta;
    if (!(id >= 2 && id < highWater)) throw damaged(this.path, `there is no page ${id}`);
    const [byte, bit] = [id >> 3, 1 << (id & 7)];
    const seen = this.#seen[byte] ?? 0;
    if ((seen & bit) !== 0) throw this.damage(id, 'is reached twice');
    this.#seen[byte] = seen | bit;
  }

  #read(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    const count = readSync(this.#fd, bytes, 0, length, offset);
    if (count !== length) throw damaged(this.path, 'it is cut short');
    return bytes;
  }
}

function openReadOnly(path: string): number {
  try {
    const fd = openSync(path, 'r');
    if (fstatSync(fd).isFile()) return fd;
    closeSync(fd);
  } catch (cause) {
    throw damaged(path, reasonOf(cause), cause);
  }
  throw damaged(path, 'it is not a file');
}

function requireLength(path: string, size: number, { pageSize, highWater }: Meta): void {
  // 2^31 pages would be 8 TiB; etcd's limit is 8 GiB or so.
  if (!(highWater >= 2 && highWater < 2 ** 31)) throw damaged(path, `${highWater} pages are wrong`);
  const due = highWater * pageSize;
  if (size < due) throw damaged(path, `it is cut short: ${size} of ${due} bytes`);
}

/** What the file is instead, where its first bytes tell. */
function whatElse(fd: number): string {
  const start = Buffer.alloc(4);
  if (readSync(fd, start, 0, 4, 0) === 0) return 'it is empty';
  if (start.toString('latin1', 0, 2) === 'PK') return 'it is a zip archive, unpack it first';
  if (start.readUInt16BE(0) === 0x1f8b) return 'it is compressed, run gunzip first';
  return 'it is no bbolt file, or both its meta pages are damaged';
}

export function damaged(path: string, why: string, cause?: unknown): KleidiError {
  return new KleidiError('snapshot-invalid', `${path} cannot be read as an etcd snapshot: ${why}`, {
    hint: 'take a new one: etcdctl snapshot save FILE (k3s, RKE2: etcd-snapshot save, uncompressed)',
    cause,
  });
}
