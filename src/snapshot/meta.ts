// The two meta pages of a bbolt file, of which the valid one with the higher
// transaction id counts. Form: go.etcd.io/bbolt, internal/common/meta.go; all
// numbers little-endian, as every machine that runs etcd writes them.
import { readSync } from 'node:fs';

export interface Meta {
  readonly pageSize: number;
  /** First page of the bucket that holds all others. */
  readonly root: number;
  /** Pages from here on are not in use, whatever the length of the file. */
  readonly highWater: number;
  readonly transaction: bigint;
}

const magic = 0xed0cdaed;
const version = 2;
const pageHeaderBytes = 16;
const metaBytes = 64;
const checksumAt = 56;
/** The second meta page follows the first: at one of the page sizes there are. */
const pageSizes = Array.from({ length: 16 }, (_, i) => 1024 << i);

/** The meta page in force, or undefined where the file has none that is whole. */
export function readMeta(fd: number): Meta | undefined {
  const found = [0, ...pageSizes].map((offset) => metaAt(fd, offset));
  return found.reduce((best, meta) => {
    if (meta === undefined) return best;
    return best === undefined || meta.transaction > best.transaction ? meta : best;
  }, undefined);
}

function metaAt(fd: number, offset: number): Meta | undefined {
  const bytes = Buffer.alloc(metaBytes);
  const count = readSync(fd, bytes, 0, metaBytes, offset + pageHeaderBytes);
  if (count < metaBytes || bytes.readUInt32LE(0) !== magic) return undefined;
  if (bytes.readUInt32LE(4) !== version) return undefined;
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
