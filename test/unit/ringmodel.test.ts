// Every order in which honest operators can run the steps of the ceremony on three
// members, to a stated depth, over the functions that the commands call: kills between
// the steps of a command, lost ring files and a backup among them. What must not come out
// of any order is asked after each step.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KleidiError } from '../../src/errors.ts';
import { adopt } from '../../src/keyring/adoption.ts';
import { ringAfterRestore } from '../../src/keyring/backup.ts';
import { emptyRing, isUnretired, type Ring, writeKekOf } from '../../src/keyring/ring.ts';
import { type RingView, requireSucceeds, requireSuccessor } from '../../src/keyring/succession.ts';
import { destroy, promote, retire, stage, unretire } from '../../src/keyring/transitions.ts';
import { requireVouched } from '../../src/keyring/voucher.ts';

/** CI looks this deep; KLEIDI_TEST_LONG=1 goes further. */
const depth = process.env['KLEIDI_TEST_LONG'] === '1' ? 7 : 6;
const members = [0, 1, 2] as const;
const fps = ['aa', 'bb', 'cc'].map((digits) => digits.repeat(16));
const ringId = '5e'.repeat(16);
const created = '2026-01-02T03:04:05.000Z';
const none: ReadonlySet<string> = new Set();
const kekOf = (fp: string) =>
  ({ fp, check: fp, provider: 'pkcs11', recovery: null, created }) as const;

interface Member {
  /** Undefined where the file alone is lost, while no daemon runs. */
  readonly ring: Ring | undefined;
  /** What the token holds. */
  readonly held: readonly string[];
  /** The last id that it has announced: beside the ring in a file of its own. */
  readonly announced: { readonly generation: number; readonly fp: string };
}

interface World {
  readonly members: readonly Member[];
  /** A backup of member 0, as it was at its first step. */
  readonly backup: Ring;
}

interface Step {
  readonly name: string;
  readonly member: number;
  readonly undone: ReadonlySet<string>;
  take(world: World, own: Member): Partial<Member>;
}

function memberOf(world: World, member: number): Member {
  return world.members[member] ?? assert.fail('no such member');
}

function requireRing({ ring }: Member): Ring {
  if (ring !== undefined) return ring;
  throw new KleidiError('ring-missing', 'the ring file is lost');
}

/** As the commands do it: token and Vault are asked before a ring is written. */
function requireHeld(held: readonly string[], ring: Ring): void {
  const missing = ring.keks.filter((kek) => isUnretired(kek) && !held.includes(kek.fp));
  if (missing.length > 0) throw new KleidiError('kek-missing', 'the token lacks a KEK');
}

function onRing(
  name: string,
  member: number,
  change: (ring: Ring, own: Member) => Ring,
  undone = none,
): Step {
  return {
    ...{ name, member, undone },
    take: (_, own) => ({ ring: change(requireRing(own), own) }),
  };
}

function promotion(fp: string, above: number) {
  return (ring: Ring, { held }: Member): Ring => {
    const next = promote(ring, fp, ring.generation + above);
    requireSucceeds('not promoted', next, ring);
    if (held.includes(fp)) return next;
    throw new KleidiError('kek-missing', 'the token lacks the KEK');
  };
}

/** The KEK is of nobody yet: `key create` makes it, with the write KEK for its voucher. */
function creation(fp: string, member: number): Step[] {
  const isNew = (world: World): void => {
    const isKnown = world.members.some(
      ({ ring, held }) => held.includes(fp) || ring?.keks.some((kek) => kek.fp === fp),
    );
    if (isKnown) throw new KleidiError('refused', 'it was made before');
  };
  const take = (world: World, own: Member): Partial<Member> => {
    isNew(world);
    const ring = stage(requireRing(own), kekOf(fp), ringId);
    return { ring, held: [...own.held, fp] };
  };
  return [{ name: `create ${fp}`, member, undone: none, take }];
}

/** A bundle of `from`: its ring, and of its KEKs those that this token lacks. */
function joining(from: number, member: number): Step[] {
  const taken = (world: World, own: Member): Required<Pick<Member, 'held'>> & { ring: Ring } => {
    const other = memberOf(world, from);
    const theirs = requireRing(other);
    requireHeld(other.held, theirs);
    requireFollows(own, theirs);
    const ring = adopt(own.ring, theirs, none);
    const came = ring.keks.filter((kek) => isUnretired(kek) && !own.held.includes(kek.fp));
    const first = writeKekOf(theirs);
    const vouchers = came.flatMap((kek) => (first ? [{ kek, by: first }] : []));
    if (own.ring !== undefined) requireVouched(own.ring, came, vouchers);
    return { ring, held: [...own.held, ...came.map(({ fp }) => fp)] };
  };
  return [
    { name: `join ${from}`, member, undone: none, take: taken },
    // Killed between token and ring.
    {
      ...{ name: `join ${from}, killed`, member, undone: none },
      take: (world, own) => ({ held: taken(world, own).held }),
    },
  ];
}

function viewOf({ generation, fp }: Member['announced']): RingView {
  return { ring: 'prod', ringId, generation, keks: [{ fp, check: fp, state: 'write' }] };
}

function requireFollows({ ring, announced }: Member, theirs: Ring): void {
  if (ring === undefined) requireSucceeds('not taken', theirs, viewOf(announced), none);
}

function stepsOf(member: number): Step[] {
  const ofKeks = fps.flatMap((fp) => [
    ...creation(fp, member),
    ...[1, 2].map((above) => onRing(`promote ${fp} +${above}`, member, promotion(fp, above))),
    onRing(`retire ${fp}`, member, (ring) => retire(ring, fp)),
    onRing(
      `undo ${fp}`,
      member,
      (ring, { held }) => {
        requireHeld(held, { ...ring, keks: [{ ...kekOf(fp), state: 'read' }] });
        return unretire(ring, fp);
      },
      new Set([fp]),
    ),
    // The ring first, then the token: killed in between, the next step is the same.
    onRing(`destroy ${fp}, killed`, member, (ring) => destroy(ring, fp)),
    {
      ...{ name: `destroy ${fp}`, member, undone: none },
      take: (_: World, own: Member) => ({
        ring: destroy(requireRing(own), fp),
        held: own.held.filter((each) => each !== fp),
      }),
    },
  ]);
  const fromOthers = members
    .filter((from) => from !== member)
    .flatMap((from): Step[] => [
      {
        ...{ name: `adopt ${from}`, member, undone: none },
        take(world, own) {
          const theirs = requireRing(memberOf(world, from));
          requireFollows(own, theirs);
          const ring = adopt(own.ring, theirs, none);
          requireHeld(own.held, ring);
          return { ring };
        },
      },
      ...joining(from, member),
    ]);
  return [...ofKeks, ...fromOthers, ...losses(member)];
}

function losses(member: number): Step[] {
  const restoring = (isAllLost: boolean): Step['take'] => {
    return (world, own) => {
      const highest = Math.max(...world.members.map(({ announced }) => announced.generation));
      const isTrue = world.members.every(({ ring }) => ring === undefined);
      if (isAllLost && !isTrue) throw new KleidiError('refused', 'a member has its ring');
      const generation = isAllLost ? highest + 1 : undefined;
      const wish = { generation, isAllLost };
      return {
        ring: ringAfterRestore(world.backup, {
          ...{ local: own.ring, state: own.ring, wish },
          announced: viewOf(own.announced),
        }),
      };
    };
  };
  return [
    { name: 'lose', member, undone: none, take: (_, own) => ({ ...own, ring: undefined }) },
    { name: 'restore', member, undone: none, take: restoring(false) },
    { name: 'restore, all lost', member, undone: none, take: restoring(true) },
  ];
}

const steps = members.flatMap(stepsOf);

/** The world after the step; undefined where it is refused. */
function after(world: World, step: Step): World | undefined {
  const own = memberOf(world, step.member);
  try {
    const next = { ...own, ...step.take(world, own) };
    if (next.ring === own.ring && next.held === own.held) return undefined;
    // The daemon of this member takes what its command has written.
    if (next.ring !== undefined && own.ring !== undefined) requireSuccessor(next.ring, own.ring);
    const now = announcing(next);
    return { ...world, members: world.members.map((each, i) => (i === step.member ? now : each)) };
  } catch (error) {
    assert.equal(error instanceof KleidiError, true, String(error));
    return undefined;
  }
}

function announcing(member: Member): Member {
  const write = member.ring && writeKekOf(member.ring);
  const isAnnounced = write !== undefined && member.held.includes(write.fp);
  if (!isAnnounced || member.ring === undefined) return member;
  return { ...member, announced: { generation: member.ring.generation, fp: write.fp } };
}

function requireNothingLost(before: World, step: Step, now: World, path: string): void {
  const [was, is] = [memberOf(before, step.member), memberOf(now, step.member)];
  const [old, fresh] = [was.announced, is.announced];
  // No key id is announced again after another, and no generation has two.
  const isOnward = fresh.generation > old.generation || fresh.fp === old.fp;
  assert.ok(fresh.generation >= old.generation, `a generation falls: ${path}`);
  assert.ok(isOnward, `one generation, two KEKs: ${path}`);
  if (was.ring === undefined || is.ring === undefined) return;
  const stateNow = new Map(is.ring.keks.map(({ fp, state }) => [fp, state]));
  for (const kek of was.ring.keks) {
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

/** What was written under stays readable on whoever writes: no ring is served without it. */
function requireServed({ members: all }: World, path: string): void {
  for (const { ring, held } of all) {
    const write = ring && writeKekOf(ring);
    if (write !== undefined) assert.ok(held.includes(write.fp), `writes with nothing: ${path}`);
  }
}

/** Three members that have one KEK in common, as after enabling. */
function start(): World {
  const [fp = ''] = fps;
  const ring = promote(stage(emptyRing('prod'), kekOf(fp), ringId), fp, 1);
  const member = { ring, held: [fp], announced: { generation: 1, fp } };
  return { members: [member, member, member], backup: ring };
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
      requireNothingLost(world, step, now, way);
      if (step.name !== 'restore, all lost') requireServed(now, way);
      return this.#isNew(now) ? [[now, way]] : [];
    });
  }

  /** Members are alike: their order makes no other world. */
  #isNew({ members: all }: World): boolean {
    const key = all
      .map((member) => JSON.stringify({ ...member, held: [...member.held].sort() }))
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
