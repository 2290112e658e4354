// Carries a plan out: each file replaced at once, in order; where one fails, the
// ones before it go back. Nothing is ever left in a folder that a kubelet reads
// but the file itself: temporary names begin with a dot, which kubelets skip.
import { accessSync, constants, existsSync } from 'node:fs';
import { mkdir, readdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KleidiError, reasonOf } from '../errors.ts';
import { syncFolder, writeFileAtomically } from '../files.ts';

export interface FileChange {
  readonly path: string;
  /** undefined: there is no file, or there is to be none. */
  readonly before: string | undefined;
  readonly after: string | undefined;
  /** Of a file that is made; one that is there keeps its own. */
  readonly mode: number;
}

/** @throws KleidiError file-failed; all files are as before then */
export async function carryOut(root: string, changes: readonly FileChange[]): Promise<void> {
  const done: FileChange[] = [];
  for (const change of changes) {
    try {
      await write(root, change.path, change.after, change.mode);
      done.push(change);
    } catch (thrown) {
      const { message, hint } = KleidiError.from(thrown);
      await takeBack(root, done, message);
      throw new KleidiError('file-failed', `${message}; everything is as it was before`, {
        hint: hint ?? 'check that the file system is not read-only, then run the command again',
        cause: thrown,
      });
    }
  }
}

async function takeBack(root: string, done: FileChange[], why: string): Promise<void> {
  for (const { path, before, mode } of done.reverse()) {
    await write(root, path, before, mode).catch((cause: unknown) => {
      throw new KleidiError('file-failed', `${why}; and ${path} could not be put back`, {
        hint: 'fix the file system, then run the command again: it goes on from what is there',
        cause,
      });
    });
  }
}

/** Asked before anything is changed. @throws KleidiError file-failed */
export function requireWritable(root: string, changes: readonly FileChange[]): void {
  for (const { path } of changes) {
    let folder = dirname(join(root, path));
    while (!existsSync(folder)) folder = dirname(folder);
    try {
      accessSync(folder, constants.W_OK);
    } catch (cause) {
      throw failed(path, cause, '; everything is as it was before');
    }
  }
}

async function write(
  root: string,
  path: string,
  text: string | undefined,
  mode: number,
): Promise<void> {
  // A link stays one: what it points to is replaced.
  const file = await realpath(join(root, path)).catch(() => join(root, path));
  await sweep(file);
  if (text === undefined) return remove(file, path);
  const old = await stat(file).catch(() => undefined);
  await mkdir(dirname(file), { recursive: true, mode: 0o755 }).catch((cause: unknown) => {
    throw failed(path, cause);
  });
  await writeFileAtomically(file, text, old === undefined ? mode : old.mode & 0o7777, old);
}

/** What a run that was killed has left half written. */
async function sweep(file: string): Promise<void> {
  const names = await readdir(dirname(file)).catch(() => []);
  const left = names.filter(
    (name) => name.startsWith(`.${basename(file)}.`) && name.endsWith('.tmp'),
  );
  for (const name of left) await rm(join(dirname(file), name), { force: true });
}

async function remove(file: string, path: string): Promise<void> {
  try {
    await rm(file, { force: true });
    await syncFolder(dirname(file)).catch(() => undefined);
  } catch (cause) {
    throw failed(path, cause);
  }
}

function failed(path: string, cause: unknown, also = ''): KleidiError {
  return new KleidiError('file-failed', `${path} cannot be changed: ${reasonOf(cause)}${also}`, {
    hint: 'run as root, and check that the file system is not read-only',
    cause,
  });
}
