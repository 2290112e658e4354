// A ring in a file that kleidi ring export has made, and that the operator has named by
// its digest.

import { parseRing, type Ring } from '../../keyring/ring.ts';
import { readTextFile } from '../../readfile.ts';
import { parseExpected, requireExpected } from './expecteddigest.ts';

/** @throws KleidiError file-failed, ring-invalid, refused (another ring than expected) */
export async function readExported(path: string, expected: string): Promise<Ring> {
  const hint = 'name a file that kleidi ring export has made';
  const text = await readTextFile(path, `ring ${path}`, hint);
  const ring = parseRing(text, path);
  requireExpected(path, ring, expected);
  return ring;
}

/** Of the options `--ring FILE --expect DIGEST`: both or none, as the command sees to. @throws KleidiError usage, as above */
export async function expectedRing(
  file: string | undefined,
  digest: string | undefined,
): Promise<Ring | undefined> {
  return file === undefined ? undefined : readExported(file, parseExpected(digest));
}
