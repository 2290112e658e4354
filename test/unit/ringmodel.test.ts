// Every order in which honest operators can run the steps of the ceremony on three
// members, to a stated depth, over the functions that the commands call. What must not
// come out of any of them is asked after each step.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KleidiError } from '../../src/errors.ts';
import { adopt } from '../../src/keyring/adoption.ts';
import { ringAfterRestore } from '../../src/keyring/backup.ts';
import { emptyRing, isUnretired, type Ring, writeKekOf } from '../../src/keyring/ring.ts';
import { requireSucceeds, requireSuccessor } from '../../src/keyring/succession.ts';
import { destroy, promote, retire, stage, unretire } from '../../src/keyring/transitions.ts';

/** CI looks this deep; KLEIDI_TEST_LONG=1 goes further. */
const depth = process.env['KLEIDI_TEST_LONG'] === '1' ? 8 : 6;
const members = [0, 1, 2] as const;
const fps = ['aa', 'bb', 'cc'].map((digits) => digits.repeat(16));
const ringId = '5e'.repeat(16);
const created = '2026-01-02T03:04:05.000Z';
const none: ReadonlySet<string> = new Set();

interface World {
  readonly rings: readonly Ring[];
  /** A backup of member 0, as it was at its first step. */
  readonly backup: Ring;
}

interface Step {
  readonly name: string;
  readonly member: number;
  readonly undone: ReadonlySet<string>;
  take(world: World): Ring;
}

function ringOf(world: World, member: number): Ring {
  return world.rings[member] ?? assert.fail('no such member');
}

function own(name: string, member: number, change: (ring: Ring) => Ring, undone = none): Step {
  return { name, member, undone, take: (world) => change(ringOf(world, member)) };
}

function stepsOf(member: number): Step[] {
  const ofKeks = fps.flatMap((fp) => [
    own(`import ${fp}`, member, (ring) =>
      stage(ring, { fp, check: fp, provider: 'pkcs11', recovery: null, created }, ringId),
    ),
    ...[1, 2].map((above) =>
      own(`promote ${fp} +${above}`, member, (ring) => {
        const next = promote(ring, fp, ring.generation + above);
        requireSucceeds('not promoted', next, ring);
        return next;
      }),
    ),
    own(`retire ${fp}`, member, (ring) => retire(ring, fp)),
    own(`undo ${fp}`, member, (ring) => unretire(ring, fp), new Set([fp])),
    own(`destroy ${fp}`, member, (ring) => destroy(ring, fp)),
  ]);
  const adoptions = members
    .filter((from) => from !== member)
    .map((from) => ({
      ...{ name: `adopt from ${from}`, member, undone: none },
      take: (world: World) => adopt(ringOf(world, member), ringOf(world, from), none),
    }));
  const restore = {
    ...{ name: 'restore', member, undone: none },
    take: (world: World): Ring =>
      ringAfterRestore(world.backup, {
        local: ringOf(world, member),
        state: ringOf(world, member),
        wish: { generation: undefined, isAllLost: false },
      }),
  };
  return [...ofKeks, ...adoptions, restore];
}

const steps = members.flatMap(stepsOf);

/** The world after the step; undefined where it is refused. */
function after(world: World, { member, take }: Step): World | undefined {
  try {
    const next = take(world);
    // The daemon of this member takes what its command has written.
    requireSuccessor(next, ringOf(world, member));
    const rings = world.rings.map((ring, i) => (i === member ? next : ring));
    return { ...world, rings };
  } catch (error) {
    assert.equal(error instanceof KleidiError, true, String(error));
    return undefined;
  }
}

function requireSound(before: World, step: Step, now: World, path: string): void {
  const [was, is] = [ringOf(before, step.member), ringOf(now, step.member)];
  const stateNow = new Map(is.keks.map(({ fp, state }) => [fp, state]));
  // With the next line: no key id is announced again after another.
  assert.ok(is.generation >= was.generation, `a generation falls: ${path}`);
  if (was.generation === is.generation && writeKekOf(was) !== undefined) {
    assert.equal(writeKekOf(is)?.fp, writeKekOf(was)?.fp, `one generation, two KEKs: ${path}`);
  }
  for (const kek of was.keks) {
    const state = stateNow.get(kek.fp);
    if (isUnretired(kek)) assert.ok(state !== undefined, `a needed KEK is dropped: ${path}`);
    else if (state !== undefined && isUnretired({ state })) {
      assert.ok(step.undone.has(kek.fp), `an ended KEK is back unasked: ${path}`);
    }
    if (kek.state === 'destroyed' && state !== undefined) {
      assert.equal(state, 'destroyed', `a destroyed KEK is back: ${path}`);
    }
  }
}

/** Three members that have one KEK in common, as after enabling. */
function start(): World {
  const [fp = ''] = fps;
  const kek = { fp, check: fp, provider: 'pkcs11', recovery: null, created } as const;
  const staged = stage(emptyRing('prod'), kek, ringId);
  const ring = promote(staged, fp, 1);
  return { rings: [ring, ring, ring], backup: ring };
}

type Way = readonly [World, string];

class Search {
  readonly #seen = new Set<string>();
  taken = 0;
  refused = 0;

  get states(): number {
    return this.#seen.size;
  }

  /** The worlds that one more step leads to and that were not seen before. */
  further([world, path]: Way): Way[] {
    return steps.flatMap((step): Way[] => {
      const now = after(world, step);
      if (now === undefined) this.refused += 1;
      if (now === undefined) return [];
      this.taken += 1;
      const way = `${path}${step.member}: ${step.name}; `;
      requireSound(world, step, now, way);
      return this.#isNew(now) ? [[now, way]] : [];
    });
  }

  /** Members are alike: their order makes no other world. */
  #isNew({ rings }: World): boolean {
    const key = rings
      .map((ring) => JSON.stringify(ring))
      .sort()
      .join();
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }
}

test(`no order of ${depth} steps on three members loses, repeats or brings back a KEK`, (t) => {
  const search = new Search();
  let worlds: readonly Way[] = [[start(), '']];
  for (let at = 0; at < depth; at += 1) worlds = worlds.flatMap((way) => search.further(way));
  const { states, taken, refused } = search;
  t.diagnostic(`${states} states, ${taken} steps taken, ${refused} refused`);
  assert.ok(states > 1_000 && refused > 1_000);
});
