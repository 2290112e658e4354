// Reading files, by whose they are: one that somebody has named, one of kleidi's own, and
// one in a folder that another user can write.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  type Stats,
} from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KleidiError, reasonOf } from './errors.ts';

/**
 * A text file that somebody has named.
 * @param subject for people, with the path: `bundle /x/kek.bundle`
 * @throws KleidiError file-failed
 */
export async function readTextFile(path: string, subject: string, hint: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw unreadable(subject, hint, cause);
  }
}

function unreadable(subject: string, hint: string, cause: unknown): KleidiError {
  const why = reasonOf(cause);
  return new KleidiError('file-failed', `${subject} cannot be read: ${why}`, { hint, cause });
}

/**
 * A text file of kleidi's own, which may be behind a link of the operator's. A pipe or a
 * device in its place is refused, not waited for.
 * @throws the error of node:fs; Error where it is no file
 */
export async function readOwnFile(path: string): Promise<string> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!(await handle.stat()).isFile()) throw new Error(`${path} is not a regular file`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/**
 * As `readOwnFile`; undefined where there is none.
 * @param subject for people, with the path
 * @throws KleidiError file-failed
 */
export async function readOwnFileIfAny(
  path: string,
  subject: string,
  hint: string,
): Promise<string | undefined> {
  try {
    return await readOwnFile(path);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw unreadable(subject, hint, cause);
  }
}

/**
 * As `readOwnFile`, where a start must not wait for a thread of the file system.
 * @param flags more of them for open(2)
 */
export function readOwnFileSync(path: string, flags = 0): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  try {
    if (!fstatSync(fd).isFile()) throw new Error(`${path} is not a regular file`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

/**
 * A file in a folder that another user can write: only a regular one, never through
 * a link, never blocking at a pipe or device that was put in its place.
 * @param maxBytes a longer one is refused
 * @throws the error of node:fs, ELOOP for a link; Error where it is no such file
 */
export async function readForeignFile(path: string, maxBytes: number): Promise<Buffer> {
  const handle = await openForeign(path);
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) throw new Error(`${path} has ${size} bytes, the limit is ${maxBytes}`);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size), 0, size, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** A regular file or a folder. As `readForeignFile`. */
export async function openForeign(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const found = await handle.stat();
  if (found.isFile() || found.isDirectory()) return handle;
  await handle.close();
  throw new Error(`${path} is neither a file nor a folder`);
}

/**
 * What is below a folder that another user can write, each as it is itself: no link is
 * followed, nothing is opened but folders. (`recursive` of node:fs follows links in its
 * synchronous form.) What is gone meanwhile is left out.
 */
export function foreignEntries(folder: string): (Stats & { readonly path: string })[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) return [];
    return [Object.assign(found, { path }), ...(found.isDirectory() ? foreignEntries(path) : [])];
  });
}
