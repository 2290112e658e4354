// Reads an etcd snapshot (etcdctl snapshot save) or data file (member/snap/db)
// and counts what is in it, read-only and page by page: the whole file is never
// in memory. Knows etcd's form; bucket.ts knows bbolt's.
import { createHash, timingSafeEqual } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '../errors.ts';
import { bucketEntries } from './bucket.ts';
import { type Evidence, EvidenceCollector } from './evidence.ts';
import { damaged, PageFile } from './pagefile.ts';
import { type SealCount, Tally } from './tally.ts';
import { readFields } from './wire.ts';

export interface Snapshot {
  readonly path: string;
  /** etcd's revision of the newest change in it. */
  readonly revision: number;
  /** Whether etcd's own checksum over the file was there, and matched. */
  readonly isChecked: boolean;
  readonly counts: readonly SealCount[];
  readonly evidence: Evidence;
}

interface ScanOptions {
  /** kube-apiserver's --etcd-prefix. */
  readonly prefix?: string;
}

/** kube-apiserver's, where --etcd-prefix is not set. */
export const defaultPrefix = '/registry';
/** Keys that are not kube-apiserver's. */
export const foreignResource = '(not of kube-apiserver)';

const sha256Bytes = 32;
/** etcd tells by this remainder whether a checksum follows (etcdutl, snapshot/v3_snapshot.go). */
const sectorBytes = 512;
const liveAttempts = 5;

/**
 * Counts every object by resource and seal. Opens nothing and writes nothing.
 * @throws KleidiError snapshot-invalid: no snapshot, damaged, cut short, or written to meanwhile
 */
export async function scanSnapshot(path: string, options: ScanOptions = {}): Promise<Snapshot> {
  const isChecked = await checkTrailer(path);
  const prefix = withSlash(options.prefix ?? defaultPrefix);
  for (let attempt = 1; attempt <= liveAttempts; attempt += 1) {
    const found = scanOnce(path, prefix);
    if (found !== undefined) return { path, isChecked, ...found };
    await sleep(100);
  }
  throw damaged(path, 'a running etcd writes to it all the time');
}

/** `registry`, `/registry` and `/registry/` are one (k8s.io/apiserver, storage/etcd3). */
export function withSlash(prefix: string): string {
  return posix.join('/', prefix, '/');
}

/** Undefined where etcd has written meanwhile, so that pages may have been used anew. */
function scanOnce(path: string, prefix: string) {
  const file = PageFile.open(path);
  try {
    const found = countRevisions(file, prefix);
    return file.hasChanged ? undefined : found;
  } catch (error) {
    if (file.hasChanged) return undefined;
    throw error;
  } finally {
    file.close();
  }
}

function countRevisions(file: PageFile, prefix: string): Omit<Snapshot, 'path' | 'isChecked'> {
  const tally = new Tally();
  const collector = new EvidenceCollector(prefix);
  let revision = 0;
  for (const entry of bucketEntries(file, 'key')) {
    const { main, isTombstone } = parseRevision(file.path, entry.key);
    const fields = readFields(entry.value);
    if (fields === undefined) throw damaged(file.path, `revision ${main} is no key and value`);
    const key = fields.bytes(1).toString('utf8');
    if (isTombstone) {
      tally.remove(key);
      collector.remove(key);
    } else {
      tally.put(key, resourceOf(key, prefix) ?? foreignResource, fields.bytes(5));
      collector.put(key, fields.bytes(5));
    }
    revision = main;
  }
  return { revision, counts: tally.counts(), evidence: collector.evidence() };
}

/** 8 bytes main, '_', 8 bytes sub, and 't' for a deletion (etcd, mvcc/revision.go). */
function parseRevision(path: string, key: Buffer): { main: number; isTombstone: boolean } {
  const isTombstone = key.length === 18 && key[17] === 0x74;
  if ((key.length !== 17 && !isTombstone) || key[8] !== 0x5f) {
    throw damaged(path, 'its keys are no revisions');
  }
  return { main: Number(key.readBigUInt64BE(0)), isTombstone };
}

/** @returns whether there is a checksum; @throws KleidiError snapshot-invalid where it is wrong */
async function checkTrailer(path: string): Promise<boolean> {
  const { size, trailer } = await readTrailer(path);
  if (trailer === undefined) return false;
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { end: size - sha256Bytes - 1 }), hash);
  if (timingSafeEqual(hash.digest(), trailer)) return true;
  throw damaged(path, "etcd's checksum at its end does not match");
}

async function readTrailer(path: string): Promise<{ size: number; trailer?: Buffer }> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw damaged(path, reasonOf(cause), cause);
  });
  try {
    const { size } = await file.stat();
    if (size % sectorBytes !== sha256Bytes || size === sha256Bytes) return { size };
    const trailer = Buffer.alloc(sha256Bytes);
    await file.read(trailer, 0, sha256Bytes, size - sha256Bytes);
    return { size, trailer };
  } finally {
    await file.close();
  }
}

/** Built-in resources whose place in etcd is not their name (k8s.io/kubernetes, registry). */
const places: Readonly<Record<string, string>> = {
  'services/specs': 'services',
  'services/endpoints': 'endpoints',
  minions: 'nodes',
  ingress: 'ingresses.networking.k8s.io',
  podsecuritypolicy: 'podsecuritypolicies.policy',
};

/**
 * The resource that kubectl names: /registry/secrets/ns/x is secrets,
 * /registry/example.com/things/ns/x is things.example.com.
 * @param prefix kube-apiserver's --etcd-prefix, with a slash at its end
 * @returns undefined for keys that are not kube-apiserver's
 */
function resourceOf(key: string, prefix: string): string | undefined {
  if (!key.startsWith(prefix)) return undefined;
  const [first = '', second] = key.slice(prefix.length).split('/', 2);
  if (second === undefined || first === '') return undefined;
  const place = places[`${first}/${second}`] ?? places[first];
  if (place !== undefined) return place;
  return first.includes('.') ? `${second}.${first}` : first;
}
