// Writing files that hold state: temporary name, fsync, rename, fsync of the
// folder. A reader sees the old file or the new one, never a part.
import { randomBytes } from 'node:crypto';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KleidiError } from './errors.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Replaces `path`, or makes it, with these contents and this mode.
 * @throws KleidiError file-failed; the old file is unchanged then
 */
export async function writeFileAtomically(
  path: string,
  contents: string | Buffer,
  mode: number,
  owner?: Owner,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await writeNew(temporary, contents, mode, owner);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw writeFailed(path, cause);
  }
}

/** As above, but refuses to replace: @throws KleidiError already-exists */
export async function writeNewFile(
  path: string,
  contents: string | Buffer,
  mode: number,
  owner?: Owner,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await writeNew(temporary, contents, mode, owner);
    // Unlike rename(2), link(2) fails where the name is taken.
    await link(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    if (!isErrno(cause, 'EEXIST')) throw writeFailed(path, cause);
    throw new KleidiError('already-exists', `${path} exists already`, {
      hint: 'choose another name, or move the old file away',
      cause,
    });
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Hidden, because programs that read whole folders (a kubelet's static pods) skip such names. */
function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(4).toString('hex')}.tmp`);
}

async function writeNew(
  path: string,
  contents: string | Buffer,
  mode: number,
  owner?: Owner,
): Promise<void> {
  const handle = await open(path, 'wx', mode);
  try {
    await fill(handle, contents, mode, owner);
  } finally {
    await handle.close();
  }
}

async function fill(
  handle: FileHandle,
  contents: string | Buffer,
  mode: number,
  owner?: Owner,
): Promise<void> {
  await handle.chmod(mode);
  if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
  await handle.writeFile(contents);
  await handle.sync();
}

function writeFailed(path: string, cause: unknown): KleidiError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new KleidiError('file-failed', `${path} cannot be written: ${why}`, {
    hint: 'check free space, the owner of the folder and that it is not read-only',
    cause,
  });
}
