// Which ring is meant. Each cluster's ring may be called `kleidi`: the id tells two of
// one name apart. A ring has it from its first KEK on, and its members take it over
// with that KEK.
import { createHash, randomBytes } from 'node:crypto';
import { KleidiError } from '../errors.ts';
import { ringIdPrefix } from '../providers/domainseparation.ts';
import type { KekIdentity } from '../providers/provider.ts';

export interface RingName {
  readonly ring: string;
  /** 32 hex digits. */
  readonly ringId: string;
}

const idBytes = 16;

export function newRingId(): string {
  return randomBytes(idBytes).toString('hex');
}

/**
 * Of a ring whose first KEK is kept in Vault: each member stages that KEK by itself, and
 * must come to the same id.
 */
export function ringIdFrom({ fp, check }: KekIdentity): string {
  const hash = createHash('sha256').update(`${ringIdPrefix}${fp} ${check}`);
  return hash.digest('hex').slice(0, 2 * idBytes);
}

/** A ring without a KEK has no id yet: it may become any of its name. */
export interface MaybeNamed {
  readonly ring: string;
  readonly ringId: string | null;
}

export function isSameRing(a: MaybeNamed, b: MaybeNamed): boolean {
  return a.ring === b.ring && (a.ringId === null || b.ringId === null || a.ringId === b.ringId);
}

/**
 * What an object must say to be of this ring.
 * @throws KleidiError refused
 */
export function requireSameRing(what: string, theirs: MaybeNamed, mine: MaybeNamed): void {
  if (isSameRing(theirs, mine)) return;
  throw new KleidiError(
    'refused',
    `${what} is of ring ${shown(theirs)}, this host has ring ${shown(mine)}; nothing was changed`,
    { hint: 'a KEK belongs to one ring: name what was made for this ring' },
  );
}

/** Two rings of one name are told apart by the first digits of their ids. */
export function shown({ ring, ringId }: MaybeNamed): string {
  return ringId === null ? `'${ring}'` : `'${ring}' (id ${ringId.slice(0, 8)})`;
}
