// Since when kube-apiserver of this host has been told of a phase: beside the record of
// changes. Taken away before the phase changes and written after it, so that a run that
// was killed leaves a time that is not known instead of one that is too early.
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KleidiError } from '../errors.ts';
import { isErrno, syncFolder, writeFileAtomically } from '../files.ts';
import { readOwnFile } from '../readfile.ts';
import type { Phase } from './phase.ts';

function pathOf(recordPath: string): string {
  return join(dirname(recordPath), 'phase.json');
}

/** In ms since 1970; undefined where it is not known, or this host is at another phase. */
export async function phaseSinceUnixMs(
  recordPath: string,
  phase: Phase,
): Promise<number | undefined> {
  try {
    const found = JSON.parse(await readOwnFile(pathOf(recordPath))) as {
      phase?: unknown;
      since?: unknown;
    };
    const unixMs = found.phase === phase ? Date.parse(String(found.since)) : Number.NaN;
    return Number.isNaN(unixMs) ? undefined : unixMs;
  } catch (error) {
    // A damaged file tells nothing.
    if (isErrno(error, 'ENOENT') || !(error instanceof Error && 'code' in error)) return undefined;
    throw failed(recordPath, 'read', error);
  }
}

/** @throws KleidiError file-failed */
export async function forgetPhaseTime(recordPath: string): Promise<void> {
  try {
    await rm(pathOf(recordPath), { force: true });
    await syncFolder(dirname(recordPath));
  } catch (cause) {
    throw failed(recordPath, 'removed', cause);
  }
}

function failed(recordPath: string, what: string, cause: unknown): KleidiError {
  return new KleidiError('file-failed', `${pathOf(recordPath)} cannot be ${what}`, {
    hint: 'run as root, and check that the file system is not read-only',
    cause,
  });
}

/**
 * @param phase `off` after a disable: the guard of a package removal (known.sh) reads it
 * @throws KleidiError file-failed
 */
export async function recordPhaseTime(recordPath: string, phase: Phase | 'off'): Promise<void> {
  const now = new Date();
  const since = { since: now.toISOString(), sinceUnixMs: now.getTime() };
  const text = JSON.stringify({ format: 1, phase, ...since }, null, 2);
  await writeFileAtomically(pathOf(recordPath), `${text}\n`, 0o600);
}
