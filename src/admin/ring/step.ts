// From the ring of this host to that of another member: what `join` and `ring adopt` do
// under the ring's lock.
import type { Config } from '../../config.ts';
import { adopt } from '../../keyring/adoption.ts';
import { readAnnounced } from '../../keyring/changetimes.ts';
import type { Ring } from '../../keyring/ring.ts';
import { readRingIfWhole } from '../../keyring/ringfile.ts';
import { requireSucceeds, type Undone } from '../../keyring/succession.ts';

export interface RingStep {
  /** The ring of this host; undefined where its file is lost or damaged. */
  readonly from: Ring | undefined;
  /** What it becomes. */
  readonly to: Ring;
}

/**
 * Where the ring file is lost, what this host has written with last is known all the same.
 * @param repinned the recovery key that the operator names as a new one of this ring
 * @throws KleidiError refused
 */
export async function stepTo(
  config: Config,
  other: Ring,
  undone: Undone,
  repinned?: string,
): Promise<RingStep> {
  const from = await readRingIfWhole(config.ring);
  // A token that was lost leaves a ring without a KEK: nor does that tell what was announced.
  if (from === undefined || from.keks.length === 0) {
    requireSucceeds('this ring is not taken', other, await readAnnounced(config.ring), undone);
  }
  return { from, to: adopt(from, other, undone, repinned) };
}
