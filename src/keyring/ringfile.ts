// The ring on disk: reading, and changing it under a lock that the kernel
// holds, so that a killed command leaves neither half a ring nor a stale lock.
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KleidiError } from '../errors.ts';
import { withFileLock } from '../filelock.ts';
import { type Owner, writeFileAtomically } from '../files.ts';
import { readOwnFileIfAny } from '../readfile.ts';
import { recordChangeTimes } from './changetimes.ts';
import { formatRing, parseRing, type Ring } from './ring.ts';

/** @throws KleidiError ring-missing, ring-invalid, file-failed */
export async function readRing(path: string): Promise<Ring> {
  const hint = 'it must be readable by group kleidi (mode 0640)';
  const text = await readOwnFileIfAny(path, `ring file ${path}`, hint);
  if (text === undefined) throw missing(path);
  return parseRing(text, path);
}

/** The ring, or undefined where the file is missing or damaged: for commands that replace it. */
export async function readRingIfWhole(path: string): Promise<Ring | undefined> {
  try {
    return await readRing(path);
  } catch (error) {
    const code = error instanceof KleidiError ? error.code : undefined;
    if (code === 'ring-missing' || code === 'ring-invalid') return undefined;
    throw error;
  }
}

/** The ring, or undefined where there is no file. Other faults are thrown. */
export async function readRingIfAny(path: string): Promise<Ring | undefined> {
  try {
    return await readRing(path);
  } catch (error) {
    if (error instanceof KleidiError && error.code === 'ring-missing') return undefined;
    throw error;
  }
}

/**
 * Keeps the owner of the file that is replaced; a new one gets the group of its
 * folder, so that the daemon can read it. Call it under the lock. Each change of a KEK
 * is recorded with its time, whatever the command.
 */
export async function writeRing(path: string, ring: Ring): Promise<void> {
  parseRing(formatRing(ring), path);
  const before = await readRingIfWhole(path);
  const old = await stat(path).catch(() => undefined);
  await writeFileAtomically(path, formatRing(ring), 0o640, old ?? (await firstOwner(path)));
  await recordChangeTimes(path, before, ring);
}

/** Of a new file: the group of its folder. Only root can give a file away. */
export async function firstOwner(path: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { gid } = await stat(dirname(path));
  return { uid: 0, gid };
}

/** Runs `work` while no other kleidi command changes this ring: a lock on a file beside it. */
export function withRingLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  return withFileLock(`${path}.lock`, work);
}

function missing(path: string): KleidiError {
  return new KleidiError('ring-missing', `ring file ${path} does not exist`, {
    hint: 'on a new host run: kleidi provision; if the ring was lost, take it from another member (kleidi ring export) or from a backup',
  });
}
