// --expect DIGEST: a ring that comes in a file is the one that the operator means. The
// digest travels on paper or by a person, apart from the file.
import { KleidiError, usage } from '../../errors.ts';
import { isBackup, parseBackup, requirePinnedParts } from '../../keyring/backup.ts';
import { ringDigest } from '../../keyring/digest.ts';
import { isUnretired, parseRing, type Ring } from '../../keyring/ring.ts';
import { readTextFile } from '../../readfile.ts';

/** @throws KleidiError usage */
export function parseExpected(text: string | undefined): string {
  if (text !== undefined && /^sha256:[0-9a-f]{64}$/.test(text)) return text;
  throw usage('--expect wants sha256: and 64 hex digits, as kleidi ring digest prints them');
}

/** @throws KleidiError refused */
export function requireExpected(path: string, ring: Ring, expected: string): void {
  if (ringDigest(ring) === expected) return;
  throw new KleidiError('refused', `${path} is not the expected ring: its digest is another one`, {
    hint: 'the ring has changed since, or the file was replaced: export it again, and read the digest again',
  });
}

/**
 * For the members after the first: the same step leads to the same ring, or is not taken.
 * @param text undefined where the operator names none
 * @throws KleidiError usage, refused
 */
export function requireResult(next: Ring, text: string | undefined): void {
  if (text === undefined) return;
  if (ringDigest(next) === parseExpected(text)) return;
  throw new KleidiError(
    'refused',
    'that would lead to another ring than the expected one; nothing was changed',
    {
      hint: 'the ring of this host is another one than that of the first member: compare kleidi ring show, then kleidi ring adopt here',
    },
  );
}

/** @throws KleidiError file-failed, ring-invalid, refused (another ring than expected) */
export async function readExported(path: string, expected: string): Promise<Ring> {
  const hint = 'name a file that kleidi ring export has made';
  return exportedIn(await readTextFile(path, `ring ${path}`, hint), path, expected);
}

function exportedIn(text: string, path: string, expected: string): Ring {
  const ring = parseRing(text, path);
  requireExpected(path, ring, expected);
  return ring;
}

export interface OtherRing {
  readonly ring: Ring;
  /** Then its generation may be an old one. */
  readonly isBackup: boolean;
}

/**
 * As `readExported`; where no member is left, what `kleidi backup` has made, whose KEKs come
 * back with the recovery key: each of them must be in it.
 */
export async function readMemberOrBackup(path: string, expected: string): Promise<OtherRing> {
  const hint = 'name a file that kleidi ring export or kleidi backup has made';
  const text = await readTextFile(path, `ring ${path}`, hint);
  if (!isBackup(text)) return { ring: exportedIn(text, path, expected), isBackup: false };
  const { ring, bundles } = parseBackup(text, path);
  requireExpected(path, ring, expected);
  requirePinnedParts(ring, bundles);
  const names = new Set(bundles.map(({ name }) => name));
  const lost = ring.keks.find((kek) => isUnretired(kek) && !names.has(`${kek.fp}.json`));
  if (lost === undefined) return { ring, isBackup: true };
  throw new KleidiError(
    'refused',
    `${path} has no bundle of KEK ${lost.fp}: it cannot bring it back`,
    {
      hint: 'name a backup of a host that has its bundle, or the ring of another member',
    },
  );
}

/** Of an option for FILE with `--expect DIGEST`: both or none, as the command sees to. @throws KleidiError usage, as above */
export async function expectedRing(
  file: string | undefined,
  digest: string | undefined,
): Promise<OtherRing | undefined> {
  return file === undefined ? undefined : readMemberOrBackup(file, parseExpected(digest));
}
