// The command that has a staged KEK written with, ready to paste. It names the ring that
// results, so that all hosts come to the same one without another string.
import { ringDigest } from '../keyring/digest.ts';
import type { Ring } from '../keyring/ring.ts';
import { promote } from '../keyring/transitions.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { note } from '../terminal.ts';

/** Enough to select a KEK: the digest covers all of the fingerprint. */
const shownDigits = 8;

/** Nothing where the KEK is not staged. */
export function noteNextPromotion(ring: Ring, fp: Fingerprint): void {
  if (ring.keks.find((kek) => kek.fp === fp)?.state !== 'staged') return;
  const next = promote(ring, fp, ring.generation + 1);
  const command = promotionOf(fp, next.generation, ringDigest(next));
  note(`here, once every host has it: kleidi ${command}`);
}

export function promotionOf(fp: Fingerprint, generation: number, digest: string): string {
  return `key promote ${fp.slice(0, shownDigits)} --generation ${generation} --expect ${digest}`;
}
