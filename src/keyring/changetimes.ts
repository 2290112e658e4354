// changes.json beside the ring, outside its digest, because each host changes at its own
// time: when a KEK was retired here, and when it was last the write KEK (snapshots are
// compared with it: kleidi key destroy --scan); and what this host has written with last,
// which outlives a ring file that is lost. What is not known is never guessed.
import { dirname, join } from 'node:path';
import { KleidiError } from '../errors.ts';
import { isErrno, writeFileAtomically } from '../files.ts';
import { isRecord } from '../jsonvalue.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { readOwnFile } from '../readfile.ts';
import { isUnretired, type KekState, type Ring, type RingKek } from './ring.ts';
import type { RingView } from './succession.ts';

interface ChangeTimes {
  /** RFC 3339, UTC. */
  readonly retired?: string;
  readonly lastWrite?: string;
}

type Times = Readonly<Record<string, ChangeTimes>>;

interface Changes {
  readonly keks: Times;
  readonly announced?: RingView | undefined;
}

export function changeTimesPath(ringPath: string): string {
  return join(dirname(ringPath), 'changes.json');
}

/** Empty where nothing is known. @throws KleidiError file-failed */
export async function readChangeTimes(ringPath: string, fp: Fingerprint): Promise<ChangeTimes> {
  return (await readAll(changeTimesPath(ringPath))).keks[fp] ?? {};
}

/**
 * The ring as far as this host has told an API server of it: generation and write KEK. A
 * ring that takes the place of a lost file must follow it.
 * @throws KleidiError file-failed
 */
export async function readAnnounced(ringPath: string): Promise<RingView | undefined> {
  return (await readAll(changeTimesPath(ringPath))).announced;
}

/**
 * Called under the ring's lock after `after` is on disk, so that no time is too early.
 * Where the time of a retired KEK is not known, now is late enough.
 * @throws KleidiError file-failed
 */
export async function recordChangeTimes(
  ringPath: string,
  before: Ring | undefined,
  after: Ring,
): Promise<void> {
  const path = changeTimesPath(ringPath);
  const changes = await readAll(path);
  const known = changes.keks;
  const now = new Date().toISOString();
  const stateBefore = new Map((before?.keks ?? []).map((kek) => [kek.fp, kek.state]));
  const next: Record<string, ChangeTimes> = { ...known };
  for (const kek of after.keks) {
    next[kek.fp] = timesOf(kek, stateBefore.get(kek.fp), known[kek.fp] ?? {}, now);
  }
  const kept = Object.fromEntries(Object.entries(next).filter(([, times]) => hasAny(times)));
  const announced = announcedBy(after) ?? changes.announced;
  const written = { keks: kept, announced };
  if (JSON.stringify(written) === JSON.stringify(changes)) return;
  await writeFileAtomically(path, `${JSON.stringify({ format: 1, ...written }, null, 2)}\n`, 0o600);
}

function timesOf(
  { state }: RingKek,
  was: KekState | undefined,
  { retired, lastWrite }: ChangeTimes,
  now: string,
): ChangeTimes {
  const ended = was === 'write' ? now : lastWrite;
  const since = was === 'retired' || was === 'destroyed' ? (retired ?? now) : now;
  return {
    ...(isUnretired({ state }) ? {} : { retired: since }),
    ...(state !== 'write' && ended !== undefined ? { lastWrite: ended } : {}),
  };
}

function announcedBy({ ring, ringId, generation, keks }: Ring): RingView | undefined {
  const write = keks.find(({ state }) => state === 'write');
  if (write === undefined) return undefined;
  const { fp, check, state } = write;
  return { ring, ringId, generation, keks: [{ fp, check, state }] };
}

function hasAny({ retired, lastWrite }: ChangeTimes): boolean {
  return retired !== undefined || lastWrite !== undefined;
}

function unreadable(path: string, cause: unknown): KleidiError {
  return new KleidiError('file-failed', `${path} cannot be read`, { hint: 'run as root', cause });
}

/** A damaged file knows nothing. */
async function readAll(path: string): Promise<Changes> {
  try {
    const file = JSON.parse(await readOwnFile(path)) as Record<string, unknown>;
    const { keks, announced } = file;
    if (!isRecord(keks)) return { keks: {} };
    return { keks: keks as Times, announced: isView(announced) ? announced : undefined };
  } catch (error) {
    if (error instanceof Error && 'code' in error && !isErrno(error, 'ENOENT'))
      throw unreadable(path, error);
    return { keks: {} };
  }
}

function isView(value: unknown): value is RingView {
  if (!isRecord(value)) return false;
  const { ring, generation, keks } = value;
  return typeof ring === 'string' && typeof generation === 'number' && Array.isArray(keks);
}
