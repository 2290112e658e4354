// Files below a root: the host's own file system, or another one that is looked at.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KleidiError, reasonOf } from '../errors.ts';
import { isErrno } from '../files.ts';

/** A file below `root`, or undefined where there is none. @throws KleidiError file-failed */
export function textAt(root: string, path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch (cause) {
    if (isErrno(cause, 'ENOENT') || isErrno(cause, 'ENOTDIR')) return undefined;
    throw new KleidiError('file-failed', `${path} cannot be read: ${reasonOf(cause)}`, {
      hint: 'run as root; nothing was changed',
      cause,
    });
  }
}

/** Those of `paths` that are there, in their order. @throws KleidiError file-failed */
export function textsAt(root: string, paths: readonly string[]): Map<string, string> {
  return new Map(
    paths.flatMap((path) => {
      const text = textAt(root, path);
      return text === undefined ? [] : [[path, text] as const];
    }),
  );
}

/** The first of `paths` that is there. @throws KleidiError file-failed */
export function firstAt(root: string, paths: readonly string[]): string | undefined {
  return paths.find((path) => textAt(root, path) !== undefined);
}

/** Paths of the files of a folder whose names match, sorted; none where it cannot be listed. */
export function pathsIn(root: string, folder: string, pattern: RegExp): string[] {
  try {
    return readdirSync(join(root, folder))
      .filter((name) => pattern.test(name))
      .sort()
      .map((name) => `${folder}/${name}`);
  } catch {
    return [];
  }
}
