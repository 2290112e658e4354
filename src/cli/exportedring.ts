// A ring in a file that kleidi ring export has made, and that the operator has named by
// its digest.
import { readFile } from 'node:fs/promises';
import { KleidiError } from '../errors.ts';
import { parseRing, type Ring } from '../keyring/ring.ts';
import { requireExpected } from './expecteddigest.ts';

/** @throws KleidiError file-failed, ring-invalid, refused (another ring than expected) */
export async function readExported(path: string, expected: string): Promise<Ring> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new KleidiError('file-failed', `ring ${path} cannot be read: ${why}`, {
      hint: 'name a file that kleidi ring export has made',
      cause,
    });
  });
  const ring = parseRing(text, path);
  requireExpected(path, ring, expected);
  return ring;
}
