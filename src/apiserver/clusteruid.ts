// Which cluster this host is of: the UID of its namespace kube-system, recorded beside
// the ring. A snapshot of another cluster proves nothing about this one.
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KleidiError } from '../errors.ts';
import { isErrno, writeFileAtomically } from '../files.ts';

export const uidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function pathOf(ringPath: string): string {
  return join(dirname(ringPath), 'cluster.json');
}

/** Undefined where it was not recorded. @throws KleidiError file-failed */
export async function recordedClusterUid(ringPath: string): Promise<string | undefined> {
  const path = pathOf(ringPath);
  try {
    const { uid } = JSON.parse(await readFile(path, 'utf8')) as { uid?: unknown };
    if (typeof uid === 'string' && uidPattern.test(uid)) return uid;
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return undefined;
    throw unreadable(path, cause);
  }
  throw unreadable(path);
}

/** @throws KleidiError file-failed */
export async function recordClusterUid(ringPath: string, uid: string): Promise<void> {
  const text = JSON.stringify({ format: 1, uid }, null, 2);
  await writeFileAtomically(pathOf(ringPath), `${text}\n`, 0o600);
}

function unreadable(path: string, cause?: unknown): KleidiError {
  return new KleidiError('file-failed', `${path} cannot be read`, {
    hint: 'it says which cluster this host is of: run as root, or remove it and run kleidi apiserver enable again',
    cause,
  });
}
