// Whether the ring of this host could open what a snapshot holds, by names
// alone: key id, envelope and ring. That the token really opens it is another
// question (snapshot scan --verify).
import { KleidiError } from '../errors.ts';
import { open } from '../keyring/envelope.ts';
import { parseKeyId } from '../keyring/keyid.ts';
import { isUnretired, type Ring } from '../keyring/ring.ts';
import { algorithmOf } from '../providers/algorithm.ts';
import type { ProvenSnapshot } from './proof.ts';
import type { Snapshot } from './snapshot.ts';
import type { KmsSeal, Seal } from './storedobject.ts';

/** Objects of one resource under one seal, for people and programs. */
export interface Finding {
  readonly resource: string;
  readonly kind: Seal['kind'];
  /** Name of the provider; empty where in clear. */
  readonly provider: string;
  /** Of KMS v2, or the name of the key of another provider; empty where in clear. */
  readonly keyId: string;
  readonly live: number;
  readonly older: number;
  /** Distinct sealed seeds. */
  readonly seeds: number;
  /** Why the ring could not open them; null where it could, or need not. */
  readonly obstacle: string | null;
  readonly example: string;
}

/** Sorted by resource; what the ring cannot open comes first in each. */
export function judge(snapshot: Snapshot, ring: Ring): readonly Finding[] {
  const findings = new Map<string, Finding>();
  for (const { resource, seal, live, older, example } of snapshot.counts) {
    const obstacle = obstacleTo(seal, ring);
    const provider = seal.kind === 'clear' ? '' : seal.provider;
    const keyId = keyNameOf(seal);
    const identity = JSON.stringify([resource, seal.kind, provider, keyId, obstacle]);
    const { kind } = seal;
    const before = findings.get(identity);
    findings.set(identity, {
      ...(before ?? { resource, kind, provider, keyId, obstacle, example }),
      live: (before?.live ?? 0) + live,
      older: (before?.older ?? 0) + older,
      seeds: (before?.seeds ?? 0) + (kind === 'kms-v2' ? 1 : 0),
    });
  }
  return [...findings.values()].sort(byResource);
}

/** The highest generation in any key id of this ring, so that a rebuild goes above it. */
export function highestGeneration(snapshot: Snapshot, ring: string): number {
  return snapshot.counts.reduce((highest, { seal }) => {
    if (seal.kind !== 'kms-v2') return highest;
    const id = keyIdOf(seal);
    return id?.ring === ring ? Math.max(highest, id.generation) : highest;
  }, 0);
}

/** Objects and earlier states of objects that need this KEK, under whatever prefix. */
export function under({ snapshot }: ProvenSnapshot, fp: string): { live: number; older: number } {
  const found = snapshot.counts.filter(
    ({ seal }) => seal.kind === 'kms-v2' && (keyIdOf(seal)?.fp === fp || fpOf(seal) === fp),
  );
  const sum = (field: 'live' | 'older'): number => found.reduce((n, each) => n + each[field], 0);
  return { live: sum('live'), older: sum('older') };
}

export function canOpen(seal: Seal, ring: Ring): boolean {
  return obstacleTo(seal, ring) === null;
}

/** Null where the ring could open it, or nothing need be opened. */
function obstacleTo(seal: Seal, ring: Ring): string | null {
  switch (seal.kind) {
    case 'clear':
      return null;
    case 'other':
      return `sealed by ${seal.provider}, not by a KMS v2 plugin`;
    case 'malformed':
      return 'the stored object is damaged';
    case 'kms-v2':
      return obstacleToKms(seal, ring);
    default:
      return seal satisfies never;
  }
}

function obstacleToKms(seal: KmsSeal, ring: Ring): string | null {
  const id = keyIdOf(seal);
  if (id === undefined) return 'the key id is not one of kleidi';
  if (id.ring !== ring.ring) return `of ring '${id.ring}', this host has ring '${ring.ring}'`;
  const kek = ring.keks.find(({ fp }) => fp === id.fp);
  if (kek === undefined) return 'the KEK is not in the ring of this host';
  if (!isUnretired(kek)) return `the KEK is ${kek.state}`;
  if (seal.hasAnnotations) return 'it has annotations, and kleidi makes none';
  try {
    const envelope = open(seal.source);
    if (envelope.fp !== id.fp) return 'sealed seed and key id name different KEKs';
    return envelope.alg === algorithmOf(kek.provider).alg
      ? null
      : `algorithm ${envelope.alg} is not its KEK's`;
  } catch (error) {
    return KleidiError.from(error).message;
  }
}

function keyIdOf(seal: KmsSeal) {
  try {
    return parseKeyId(seal.keyId);
  } catch {
    return undefined;
  }
}

function fpOf(seal: KmsSeal): string | undefined {
  try {
    return open(seal.source).fp;
  } catch {
    return undefined;
  }
}

function keyNameOf(seal: Seal): string {
  if (seal.kind === 'kms-v2') return seal.keyId;
  return seal.kind === 'other' ? seal.name : '';
}

function byResource(a: Finding, b: Finding): number {
  if (a.resource !== b.resource) return a.resource < b.resource ? -1 : 1;
  return Number(b.obstacle !== null) - Number(a.obstacle !== null) || b.live - a.live;
}
