// The ring on disk: reading, and changing it under a lock that the kernel
// holds, so that a killed command leaves neither half a ring nor a stale lock.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KleidiError } from '../errors.ts';
import { isErrno, type Owner, writeFileAtomically } from '../files.ts';
import { recordChangeTimes } from './changetimes.ts';
import { formatRing, parseRing, type Ring } from './ring.ts';

const lockWaitS = 10;
/** For the owner alone: whoever can open the file could hold the lock. */
const lockCommand =
  'umask 077; command -v flock >/dev/null || exit 127; exec flock --wait "$1" "$2" sh -c "echo locked; exec cat >/dev/null"';

/** @throws KleidiError ring-missing, ring-invalid, file-failed */
export async function readRing(path: string): Promise<Ring> {
  try {
    return parseRing(await readFile(path, 'utf8'), path);
  } catch (error) {
    if (error instanceof KleidiError) throw error;
    if (isErrno(error, 'ENOENT')) throw missing(path, error);
    const why = error instanceof Error ? error.message : String(error);
    throw new KleidiError('file-failed', `ring file ${path} cannot be read: ${why}`, {
      hint: 'it must be readable by group kleidi (mode 0640)',
      cause: error,
    });
  }
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

/** Only root can give a file away. */
async function firstOwner(path: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { gid } = await stat(dirname(path));
  return { uid: 0, gid };
}

/**
 * Runs `work` while no other kleidi command changes this ring. The lock is
 * flock(2) on a file beside the ring, held by flock(1) for as long as our end
 * of a pipe is open: it ends with this process, however that ends.
 */
export async function withRingLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const holder = spawn('sh', ['-c', lockCommand, 'lock', String(lockWaitS), `${path}.lock`], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  });
  const ended = once(holder, 'exit');
  const locked = await Promise.race([
    once(holder.stdout, 'data').then(() => true),
    ended.then(([code]) => (code === 127 ? Promise.reject(noFlock()) : false)),
    once(holder, 'error').then(([error]) => Promise.reject(noFlock(error))),
  ]);
  if (!locked) throw lockRefused(path);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}

function missing(path: string, cause: unknown): KleidiError {
  return new KleidiError('ring-missing', `ring file ${path} does not exist`, {
    hint: 'on a new host run: kleidi provision; if the ring was lost, take it from another member (kleidi ring export) or from a backup',
    cause,
  });
}

function lockRefused(path: string): KleidiError {
  return new KleidiError('ring-locked', `${path}.lock cannot be taken within ${lockWaitS} s`, {
    hint: `another kleidi command is at work (see: fuser ${path}.lock), or the folder cannot be written`,
  });
}

function noFlock(cause?: unknown): KleidiError {
  return new KleidiError('tool-missing', 'the program flock cannot be run', {
    hint: 'install util-linux',
    cause,
  });
}
