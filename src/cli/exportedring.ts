// A ring in a file that kleidi ring export has made, and that the operator has named by
// its digest.
import { readTextFile } from '../files.ts';
import { parseRing, type Ring } from '../keyring/ring.ts';
import { requireExpected } from './expecteddigest.ts';

/** @throws KleidiError file-failed, ring-invalid, refused (another ring than expected) */
export async function readExported(path: string, expected: string): Promise<Ring> {
  const hint = 'name a file that kleidi ring export has made';
  const text = await readTextFile(path, `ring ${path}`, hint);
  const ring = parseRing(text, path);
  requireExpected(path, ring, expected);
  return ring;
}
