// Whether a file or folder has the owner and the mode that it should have.
import { type Stats, statSync } from 'node:fs';
import type { Reader } from '../providers/pkcs11/tokenfolder.ts';
import { type Finding, type Findings, fail, ok } from './check.ts';

/** Undefined where it is missing; where it may not be looked at, that is thrown. */
export function statOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

function modeText({ mode }: Stats): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

/** @param allowed the bits that may be set; others are a failure */
export function modeFinding(path: string, found: Stats, allowed: number): Finding {
  const extra = found.mode & 0o777 & ~allowed;
  if (extra === 0) return ok(`${path} has mode ${modeText(found)}`);
  const right = (extra & 0o022) === 0 ? 'read' : 'change';
  const wanted = allowed.toString(8).padStart(4, '0');
  return fail(
    `${path} has mode ${modeText(found)}: others could ${right} it`,
    `chmod ${wanted} ${path}`,
  );
}

/** @param todo for a daemon that reads as this */
export function unreadableFinding(
  path: string,
  found: Stats,
  reader: Reader | undefined,
  todo: (reader: Reader) => string,
): Findings {
  if (reader === undefined || mayRead(reader, found)) return undefined;
  const { uid, gid } = reader;
  const who = uid === undefined ? `gid ${gid}` : `uid ${uid}`;
  return fail(`the daemon (${who}) cannot read ${path}`, todo(reader));
}

function mayRead({ uid, gid }: Reader, found: Stats): boolean {
  return (
    (found.uid === uid && (found.mode & 0o400) !== 0) ||
    (found.gid === gid && (found.mode & 0o040) !== 0) ||
    (found.mode & 0o004) !== 0
  );
}
