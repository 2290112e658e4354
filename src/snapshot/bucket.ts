// The entries of a bbolt bucket in the order of their keys. One page a level is
// in memory. Form: go.etcd.io/bbolt, internal/common/page.go and bucket.go.
import { damaged, type Page, type PageFile, pageHeaderBytes } from './pagefile.ts';

interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly isBucket: boolean;
}

interface Level {
  readonly id: number;
  readonly page: Page;
  next: number;
}

const elementBytes = 16;
const bucketFlag = 1;
/** A file of the largest size has some five levels. */
const maxLevels = 32;

/**
 * The bucket of this name in the file.
 * @throws KleidiError snapshot-invalid, also where the file is no etcd's
 */
export function* bucketEntries(file: PageFile, name: string): Generator<Entry> {
  for (const { key, value, isBucket } of entriesFrom(file, rootLevel(file, file.meta.root))) {
    if (isBucket && key.toString('latin1') === name) {
      yield* entriesFrom(file, bucketLevel(file, value));
      return;
    }
  }
  throw damaged(file.path, `it is a bbolt file without the bucket '${name}', so not etcd's`);
}

function rootLevel(file: PageFile, id: number): Level {
  return { id, page: file.page(id), next: 0 };
}

/** A small bucket stands inside its parent: root 0, and its only page follows. */
function bucketLevel(file: PageFile, value: Buffer): Level {
  if (value.length < elementBytes) throw damaged(file.path, 'a bucket is cut short');
  const root = Number(value.readBigUInt64LE(0));
  if (root !== 0) return rootLevel(file, root);
  return { id: 0, page: file.parse(value.subarray(elementBytes), 0), next: 0 };
}

function* entriesFrom(file: PageFile, root: Level): Generator<Entry> {
  const levels = [root];
  let last: Buffer | undefined;
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    if (level.next >= level.page.count) {
      levels.pop();
    } else if (level.page.kind === 'branch') {
      levels.push(childOf(file, level));
      if (levels.length > maxLevels) throw file.damage(level.id, 'is too deep in the tree');
    } else {
      const entry = leafEntry(file, level);
      if (last !== undefined && last.compare(entry.key) >= 0) {
        throw file.damage(level.id, 'has its keys out of order');
      }
      last = entry.key;
      yield entry;
    }
  }
}

function childOf(file: PageFile, level: Level): Level {
  const at = nextElement(file, level);
  return rootLevel(file, Number(level.page.bytes.readBigUInt64LE(at + 8)));
}

function leafEntry(file: PageFile, level: Level): Entry {
  const at = nextElement(file, level);
  const { bytes } = level.page;
  const start = at + bytes.readUInt32LE(at + 4);
  const middle = start + bytes.readUInt32LE(at + 8);
  const end = middle + bytes.readUInt32LE(at + 12);
  if (end > bytes.length) throw file.damage(level.id, 'has an element that leaves it');
  return {
    key: bytes.subarray(start, middle),
    value: bytes.subarray(middle, end),
    isBucket: (bytes.readUInt32LE(at) & bucketFlag) !== 0,
  };
}

/** Where the next element of the level begins. */
function nextElement(file: PageFile, level: Level): number {
  const at = pageHeaderBytes + level.next * elementBytes;
  level.next += 1;
  if (at + elementBytes <= level.page.bytes.length) return at;
  throw file.damage(level.id, `has no room for ${level.page.count} elements`);
}
