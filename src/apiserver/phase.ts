// How far kube-apiserver uses kleidi, the order in which it goes there, and since when this
// host has been told of a phase: beside the record of changes. Taken away before the phase
// changes and written after it, so that a run that was killed leaves a time that is not known
// instead of one that is too early.

import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KleidiError } from '../errors.ts';
import { isErrno, syncFolder, writeFileAtomically } from '../files.ts';
import { readOwnFile } from '../readfile.ts';

/**
 * read: [others, kms]; write: [kms, others, identity]; only: [kms, others]. Others are
 * what reads data that somebody else has sealed: they always stay, but for identity,
 * which reads what is in clear.
 */
export type Phase = 'read' | 'write' | 'only';

/** In the order in which every API server goes through them. */
export const phases: readonly Phase[] = ['read', 'write', 'only'];

const order: readonly (Phase | undefined)[] = [undefined, ...phases];

/**
 * One step at a time, forwards and backwards: at `only` an API server cannot read what
 * another one at `read` writes in clear. A single one may skip to write, and back.
 * @throws KleidiError refused
 */
export function requireStep(from: Phase | undefined, to: Phase, isSingleMaster: boolean): void {
  const [at, due] = [order.indexOf(from), order.indexOf(to)];
  if (Math.abs(due - at) <= 1) return;
  if (isSingleMaster && (to === 'write' || to === 'read')) return;
  const first = order[at + Math.sign(due - at)];
  const hint = `kleidi apiserver enable --phase ${first} on every API server first: each must read what another writes`;
  throw new KleidiError(
    'refused',
    `phase ${to} comes after ${order[due - Math.sign(due - at)]} on every API server, and this host ${from === undefined ? 'does not use kleidi yet' : `is at ${from}`}`,
    { hint: to === 'only' ? hint : `${hint}; or --single-master` },
  );
}

/** Beside the record. */
export function phasePath(recordPath: string): string {
  return join(dirname(recordPath), 'phase.json');
}

/** In ms since 1970; undefined where it is not known, or this host is at another phase. */
export async function phaseSinceUnixMs(
  recordPath: string,
  phase: Phase,
): Promise<number | undefined> {
  try {
    const found = JSON.parse(await readOwnFile(phasePath(recordPath))) as {
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
    await rm(phasePath(recordPath), { force: true });
    await syncFolder(dirname(recordPath));
  } catch (cause) {
    throw failed(recordPath, 'removed', cause);
  }
}

function failed(recordPath: string, what: string, cause: unknown): KleidiError {
  return new KleidiError('file-failed', `${phasePath(recordPath)} cannot be ${what}`, {
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
  await writeFileAtomically(phasePath(recordPath), `${text}\n`, 0o600);
}
