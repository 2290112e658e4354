// What the ring file says, and whether it may take the place of the ring in use.
import { KleidiError } from '../errors.ts';
import { formatRing, type Ring } from '../keyring/ring.ts';
import { readRing } from '../keyring/ringfile.ts';
import { requireSuccessor } from '../keyring/succession.ts';

export type Candidate = { readonly kind: 'good'; readonly ring: Ring } | RefusedRing;

export interface RefusedRing {
  readonly kind: 'refused';
  /** Undefined where the file cannot be read. */
  readonly ring: Ring | undefined;
  readonly error: KleidiError;
}

/** Never rejects. A file that says the same gives the ring in use itself. */
export async function readCandidate(path: string, inUse: Ring | undefined): Promise<Candidate> {
  let ring: Ring | undefined;
  try {
    ring = await readRing(path);
    if (inUse === undefined) return { kind: 'good', ring };
    requireSuccessor(ring, inUse);
    return { kind: 'good', ring: formatRing(ring) === formatRing(inUse) ? inUse : ring };
  } catch (thrown) {
    return { kind: 'refused', ring, error: KleidiError.from(thrown) };
  }
}

/** A successor that this host could not write with, while it can with the ring in use. */
export function refusedForWriting(path: string, ring: Ring): RefusedRing {
  const error = new KleidiError('kek-missing', `${path} names a write KEK that this host lacks`, {
    hint: 'kleidi key import brings it here; kleidi key list shows what this host holds',
  });
  return { kind: 'refused', ring, error };
}
