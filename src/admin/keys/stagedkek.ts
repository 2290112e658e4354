// What `kleidi key create` does to a host: a KEK in its token, staged in its ring (the first
// one: written with at once), and last the bundle for the others. Killed anywhere, it goes on when it is run again.
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { requireFree } from '../../files.ts';
import type { BundleKek } from '../../keyring/bundle.ts';
import {
  pinnedRecovery,
  type RecoveryKey,
  requirePinned,
} from '../../keyring/recoverypublickey.ts';
import { type RequestFile, requireRequests } from '../../keyring/request.ts';
import { isUnretired, type Ring } from '../../keyring/ring.ts';
import { readRing, writeRing } from '../../keyring/ringfile.ts';
import { promote } from '../../keyring/transitions.ts';
import { keepPinFor } from '../provision/pins.ts';
import {
  createStagedKek,
  handOut,
  type MadeKek,
  removeCreateRecord,
  resumeCreate,
} from './createrecord.ts';

export interface CreateWish {
  readonly recovery: RecoveryKey | undefined;
  readonly hosts: readonly RequestFile[];
  /** The recovery key need not be the pinned one. */
  readonly isRepinning: boolean;
  /** It is the write KEK at once, of a ring that has none. */
  readonly isFirst: boolean;
  readonly out: string | undefined;
}

/**
 * Requests and recovery key are of the ring of this host.
 * @returns the fingerprint of the recovery key that is pinned, if one is
 * @throws KleidiError refused
 */
export async function requireOfRing(config: Config, wish: CreateWish): Promise<string | undefined> {
  const ring = await readRing(config.ring);
  requireRequests(ring.ring, wish.hosts);
  requireRecoveryOf(ring, wish);
  return pinnedRecovery(ring);
}

/** Call it under the ring's lock, with keys that are confirmed. @returns the ring with the KEK */
export async function createAndHandOut(
  config: Config,
  wish: CreateWish,
): Promise<{ readonly kek: BundleKek; readonly ring: Ring }> {
  const before = await readRing(config.ring);
  requireRecoveryOf(before, wish);
  const made = (await resumeCreate(config, before, wish)) ?? (await createNew(config, wish));
  const ring = await settle(config, made, wish);
  await handOut(wish.out, made, ring);
  if (wish.recovery !== undefined) await keepPinFor(config, wish.recovery);
  await removeCreateRecord(config);
  return { kek: made.kek, ring };
}

/**
 * Before a ring has a write KEK nothing can be sealed with it: the first one needs no host
 * to wait for the others, and a member that joins is at the same generation at once.
 */
async function settle(config: Config, { kek }: MadeKek, { isFirst }: CreateWish): Promise<Ring> {
  const ring = await readRing(config.ring);
  if (!isFirst) return ring;
  const first = promote(ring, kek.fp, 1);
  if (first !== ring) await writeRing(config.ring, first);
  return first;
}

/** Another one than the pinned was confirmed by the operator before, as each new key is. */
function requireRecoveryOf(ring: Ring, { recovery, isRepinning }: CreateWish): void {
  if (isRepinning && recovery !== undefined) return;
  requirePinned(ring, recovery?.fingerprint ?? null);
}

const otherOut =
  'choose another name, or move the old file away; where key create was killed at its very end, this is its bundle: kleidi ring show lists the KEK';

/** Each step is on disk before the next: record, recovery part, token, ring; then the bundle. */
async function createNew(config: Config, wish: CreateWish): Promise<MadeKek> {
  if (wish.out !== undefined) requireFree(wish.out, otherOut);
  const ring = await readRing(config.ring);
  if (wish.isFirst) requireNoKek(ring);
  return createStagedKek(config, ring, wish);
}

function requireNoKek({ generation, keks }: Ring): void {
  const [kek] = keks.filter(isUnretired);
  if (generation === 0 && kek === undefined) return;
  const why = kek === undefined ? `is at generation ${generation}` : `has KEK ${kek.fp}`;
  throw new KleidiError('refused', `the ring ${why} already; nothing was changed`, {
    hint: 'without --first the new KEK is staged, and kleidi key promote has it written with',
  });
}
