// When a KEK was retired here, and when it was last the write KEK: beside the ring and
// outside its digest, because each host changes at its own time. Snapshots are compared
// with it (kleidi key destroy --scan). A time that is not known is never guessed.
import { dirname, join } from 'node:path';
import { KleidiError } from '../errors.ts';
import { isErrno, readOwnFile, writeFileAtomically } from '../files.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { isUnretired, type Ring } from './ring.ts';

export interface ChangeTimes {
  /** RFC 3339, UTC. */
  readonly retired?: string;
  readonly lastWrite?: string;
}

type Times = Readonly<Record<string, ChangeTimes>>;

export function changeTimesPath(ringPath: string): string {
  return join(dirname(ringPath), 'changes.json');
}

/** Empty where nothing is known. @throws KleidiError file-failed */
export async function readChangeTimes(ringPath: string, fp: Fingerprint): Promise<ChangeTimes> {
  return (await readAll(changeTimesPath(ringPath)))[fp] ?? {};
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
  const known = await readAll(path);
  const now = new Date().toISOString();
  const stateBefore = new Map((before?.keks ?? []).map((kek) => [kek.fp, kek.state]));
  const next: Record<string, ChangeTimes> = { ...known };
  for (const { fp, state } of after.keks) {
    const { retired, lastWrite } = known[fp] ?? {};
    const was = stateBefore.get(fp);
    const ended = was === 'write' ? now : lastWrite;
    const since = was === 'retired' || was === 'destroyed' ? (retired ?? now) : now;
    next[fp] = {
      ...(isUnretired({ state }) ? {} : { retired: since }),
      ...(state !== 'write' && ended !== undefined ? { lastWrite: ended } : {}),
    };
  }
  const kept = Object.fromEntries(Object.entries(next).filter(([, times]) => hasAny(times)));
  if (JSON.stringify(kept) === JSON.stringify(known)) return;
  await writeFileAtomically(path, `${JSON.stringify({ format: 1, keks: kept }, null, 2)}\n`, 0o600);
}

function hasAny({ retired, lastWrite }: ChangeTimes): boolean {
  return retired !== undefined || lastWrite !== undefined;
}

function unreadable(path: string, cause: unknown): KleidiError {
  return new KleidiError('file-failed', `${path} cannot be read`, { hint: 'run as root', cause });
}

/** A damaged file knows nothing. */
async function readAll(path: string): Promise<Times> {
  try {
    const { keks } = JSON.parse(await readOwnFile(path)) as { keks?: unknown };
    return typeof keks === 'object' && keks !== null ? (keks as Times) : {};
  } catch (error) {
    if (error instanceof Error && 'code' in error && !isErrno(error, 'ENOENT'))
      throw unreadable(path, error);
    return {};
  }
}
