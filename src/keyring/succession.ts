// Which ring may follow the one in use. One rule for the daemon and for every
// command that changes the ring file, so that no way around it exists: nothing
// lowers a generation, no generation has two write KEKs, a KEK that is needed stays in
// the ring, and a retired or destroyed one comes back only where the operator names it.
import { KleidiError } from '../errors.ts';
import { isUnretired, type Ring } from './ring.ts';
import { isSameRing, type MaybeNamed, shown } from './ringid.ts';

/** What the rule compares: a ring, or the State of a daemon that has one in use. */
export interface RingView {
  readonly ring: string;
  /** Null or empty where there is no KEK yet. */
  readonly ringId: string | null;
  readonly generation: number;
  readonly keks: readonly KekView[];
}

interface KekView {
  readonly fp: string;
  readonly check: string;
  readonly state: string;
  /** False where a daemon has not seen that its key has this check. */
  readonly verified?: boolean;
}

export type Undone = ReadonlySet<string> | 'any';

interface Obstacle {
  readonly why: string;
  readonly hint: string;
}

/**
 * For the daemon: the ring file against the ring in use.
 * @throws KleidiError ring-rollback
 */
export function requireSuccessor(next: Ring, inUse: RingView): void {
  // Nobody has used it: not even its name is settled.
  if (inUse.keks.length === 0) return;
  const obstacle = obstacleTo(next, inUse, 'any');
  if (obstacle === undefined) return;
  throw new KleidiError('ring-rollback', `the ring file is not taken: ${obstacle.why}`, {
    hint: obstacle.hint,
  });
}

/**
 * For commands: what they are about to write, against what this host has in its
 * file and in its daemon. Call it before anything is changed.
 * @param what begins the message, as `this ring is not adopted`
 * @param undone the KEKs that the operator takes back; `any` where the step itself does
 * @throws KleidiError refused
 */
export function requireSucceeds(
  what: string,
  next: RingView,
  inUse: RingView | undefined,
  undone: Undone = 'any',
): void {
  const obstacle = inUse && obstacleTo(next, inUse, undone);
  if (obstacle === undefined) return;
  throw new KleidiError('refused', `${what}: ${obstacle.why}`, { hint: obstacle.hint });
}

function obstacleTo(next: RingView, inUse: RingView, undone: Undone): Obstacle | undefined {
  // A daemon that has no ring in use says so with an empty name.
  if (inUse.ring === '') return undefined;
  const [theirs, mine] = [named(next), named(inUse)];
  if (!isSameRing(theirs, mine)) {
    return {
      why: `it is the ring ${shown(theirs)}, this host has ring ${shown(mine)}`,
      hint: 'take the ring of a member of the same cluster: kleidi ring export there, kleidi ring adopt here',
    };
  }
  if (next.generation < inUse.generation) {
    return {
      why: `it is of generation ${next.generation}, this host has ${inUse.generation}`,
      hint: 'the older ring comes from a backup or from a member that lags behind: there run kleidi ring adopt with the ring of this host',
    };
  }
  return (
    obstacleOfOtherKey(next, inUse) ??
    obstacleOfWriteKek(next, inUse) ??
    obstacleOfDropped(next, inUse) ??
    obstacleOfReturn(next, inUse, undone)
  );
}

/** One fingerprint, two keys: honest members never have that. */
function obstacleOfOtherKey(next: RingView, inUse: RingView): Obstacle | undefined {
  const mine = inUse.keks.filter(({ verified }) => verified !== false);
  const checks = new Map(mine.map(({ fp, check }) => [fp, check]));
  const other = next.keks.find(({ fp, check }) => (checks.get(fp) ?? check) !== check);
  return (
    other && {
      why: `KEK ${other.fp} is another key there than here: its check differs`,
      hint: 'one of the two members was given a forged KEK: find out who made it, and rotate to a KEK that both hold',
    }
  );
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

/** This host may have written with it, or another member may. */
function obstacleOfDropped(next: RingView, inUse: RingView): Obstacle | undefined {
  const kept = new Set(next.keks.map(({ fp }) => fp));
  const dropped = inUse.keks.find((kek) => isUnretired(kek) && !kept.has(kek.fp));
  return (
    dropped && {
      why: `KEK ${dropped.fp}, which is ${dropped.state} here, is not in it`,
      hint: `bring that KEK to the other member first (key import there, or recovery rewrap); or, where nothing needs it: kleidi key retire ${dropped.fp}`,
    }
  );
}

/** A member that lags behind does not know of it. */
function obstacleOfReturn(next: RingView, inUse: RingView, undone: Undone): Obstacle | undefined {
  if (undone === 'any') return undefined;
  const stateThere = new Map(next.keks.map(({ fp, state }) => [fp, state]));
  const back = inUse.keks.find(({ fp, state }) => {
    const there = stateThere.get(fp);
    return there !== undefined && rankOf(there) < rankOf(state) && !undone.has(fp);
  });
  return (
    back && {
      why: `KEK ${back.fp} is ${back.state} here and ${stateThere.get(back.fp)} there`,
      hint: `take the other member to the ring of this host; or, if this is meant to be taken back: --undo ${back.fp}`,
    }
  );
}

/** A state never goes back by itself. */
const ranks: Readonly<Record<string, number>> = {
  staged: 0,
  ...{ write: 1, read: 1 },
  retired: 2,
  destroyed: 3,
};

function rankOf(state: string): number {
  return ranks[state] ?? -1;
}

/** A daemon says an empty id. */
function named({ ring, ringId }: RingView): MaybeNamed {
  return { ring, ringId: ringId === '' ? null : ringId };
}

function writerOf({ keks }: RingView): string | undefined {
  return keks.find(({ state }) => state === 'write')?.fp;
}
