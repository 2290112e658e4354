// Writing files that hold state: temporary name, fsync, rename, fsync of the
// folder. A reader sees the old file or the new one, never a part.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, link, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KleidiError, reasonOf } from './errors.ts';
import { openForeign } from './readfile.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What a file is to hold, and as whose. */
type Contents = readonly [contents: string | Buffer, mode: number, owner?: Owner | undefined];

/**
 * Replaces `path`, or makes it, with these contents and this mode.
 * @throws KleidiError file-failed; the old file is unchanged then
 */
export async function writeFileAtomically(path: string, ...what: Contents): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await writeNew(temporary, what);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw writeFailed(path, cause);
  }
}

/** As above, but refuses to replace: @throws KleidiError already-exists */
export async function writeNewFile(path: string, ...what: Contents): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await writeNew(temporary, what);
    await putInPlace(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    if (!isErrno(cause, 'EEXIST')) throw writeFailed(path, cause);
    throw taken(path, cause);
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

/**
 * Removes what `writeFileAtomically` has left of this path where it was killed: it may hold a
 * secret. Nobody may be writing it meanwhile.
 */
export async function removeUnfinished(path: string): Promise<void> {
  const names = await readdir(dirname(path)).catch(() => []);
  const start = `.${basename(path)}.`;
  const left = names.filter(
    (name) => name.startsWith(start) && /^[0-9a-f]{8}\.tmp$/.test(name.slice(start.length)),
  );
  for (const name of left) await rm(join(dirname(path), name), { force: true });
}

/** Before work that would be for nothing. @throws KleidiError already-exists */
export function requireFree(path: string, hint?: string): void {
  if (existsSync(path)) throw taken(path, undefined, hint);
}

function taken(
  path: string,
  cause: unknown,
  hint = 'choose another name, or move the old file away',
): KleidiError {
  return new KleidiError('already-exists', `${path} exists already`, { hint, cause });
}

export async function syncFolder(folder: string): Promise<void> {
  await syncAndClose(await open(folder, 'r'));
}

/** Of a file or a folder: fsync(2) takes both. */
async function syncAndClose(handle: FileHandle): Promise<void> {
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Every file and folder below this one, and the folder itself, is on the disk
 * afterwards, also where another program has written them.
 * @throws KleidiError file-failed
 */
export async function syncTree(folder: string): Promise<void> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const paths = entries
      .filter((entry) => entry.isFile() || entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name));
    // The name of a file is in its folder: files first.
    for (const path of paths.reverse()) await syncAndClose(await openForeign(path));
    for (const path of [folder, dirname(folder)]) await syncFolder(path);
  } catch (cause) {
    const why = reasonOf(cause);
    throw new KleidiError('file-failed', `${folder} cannot be written to the disk: ${why}`, {
      hint: 'check the disk and its free space (dmesg, df), then run the same command again',
      cause,
    });
  }
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/**
 * Unlike rename(2), link(2) fails where the name is taken. FAT and exFAT, where
 * people keep recovery keys, have no links: there the name is
 * taken by an empty file first.
 */
async function putInPlace(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (!noLinks.some((code) => isErrno(error, code))) throw error;
    // Fails with EEXIST where the name is taken.
    await (await open(path, 'wx')).close();
    await rename(temporary, path);
  }
}

const noLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/** Hidden, because programs that read whole folders (a kubelet's static pods) skip such names. */
function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(4).toString('hex')}.tmp`);
}

async function writeNew(path: string, [contents, mode, owner]: Contents): Promise<void> {
  const handle = await open(path, 'wx', mode);
  try {
    await handle.chmod(mode);
    if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
    await handle.writeFile(contents);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function writeFailed(path: string, cause: unknown): KleidiError {
  const why = reasonOf(cause);
  return new KleidiError('file-failed', `${path} cannot be written: ${why}`, {
    hint: 'check free space, the owner of the folder and that it is not read-only',
    cause,
  });
}
