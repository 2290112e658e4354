// Which ring may follow the one in use. One rule for the daemon and for every
// command that changes the ring file, so that no way around it exists: nothing
// lowers a generation, no generation has two write KEKs, and the KEK that this
// host has written with stays in the ring.
import { KleidiError } from '../errors.ts';
import type { Ring } from './ring.ts';

/** What the rule compares: a ring, or the State of a daemon that has one in use. */
export interface RingView {
  readonly ring: string;
  readonly generation: number;
  readonly keks: readonly { readonly fp: string; readonly state: string }[];
}

interface Obstacle {
  readonly why: string;
  readonly hint: string;
}

/**
 * For the daemon: the ring file against the ring in use.
 * @throws KleidiError ring-rollback
 */
export function requireSuccessor(next: Ring, inUse: RingView): void {
  const obstacle = obstacleTo(next, inUse);
  if (obstacle === undefined) return;
  throw new KleidiError('ring-rollback', `the ring file is not taken: ${obstacle.why}`, {
    hint: obstacle.hint,
  });
}

/**
 * For commands: what they are about to write, against what this host has in its
 * file and in its daemon. Call it before anything is changed.
 * @param what begins the message, as `this ring is not adopted`
 * @throws KleidiError refused
 */
export function requireSucceeds(what: string, next: RingView, inUse: RingView | undefined): void {
  const obstacle = inUse && obstacleTo(next, inUse);
  if (obstacle === undefined) return;
  throw new KleidiError('refused', `${what}: ${obstacle.why}`, { hint: obstacle.hint });
}

function obstacleTo(next: RingView, inUse: RingView): Obstacle | undefined {
  // A daemon that has no ring in use says so with an empty name.
  if (inUse.ring === '') return undefined;
  if (next.ring !== inUse.ring) {
    return {
      why: `it is the ring '${next.ring}', this host has ring '${inUse.ring}'`,
      hint: 'take the ring of a member of the same cluster: kleidi ring export there, kleidi ring adopt here',
    };
  }
  if (next.generation < inUse.generation) {
    return {
      why: `it is of generation ${next.generation}, this host has ${inUse.generation}`,
      hint: 'the older ring comes from a backup or from a member that lags behind: there run kleidi ring adopt with the ring of this host',
    };
  }
  return obstacleOfWriteKek(next, inUse);
}

/** Each host may have written under its own write KEK: both must stay readable. */
function obstacleOfWriteKek(next: RingView, inUse: RingView): Obstacle | undefined {
  const [mine, theirs] = [writerOf(inUse), writerOf(next)];
  if (mine === undefined) return undefined;
  if (next.generation === inUse.generation && mine !== theirs) {
    return {
      why: `generation ${inUse.generation} has write KEK ${theirs} there and ${mine} here`,
      hint: 'bring each KEK to the other member (key import), promote one of them there under a higher generation, then adopt that ring here',
    };
  }
  if (next.keks.some((kek) => kek.fp === mine)) return undefined;
  return {
    why: `KEK ${mine}, which this host writes with, is not in it`,
    hint: 'bring that KEK to the other member first: key import there, or recovery rewrap',
  };
}

function writerOf({ keks }: RingView): string | undefined {
  return keks.find(({ state }) => state === 'write')?.fp;
}
