// What the ring file says, and whether it may take the place of the ring in use.
import { KleidiError } from '../errors.ts';
import type { Keyring } from '../keyring/keyring.ts';
import { formatRing, type Ring } from '../keyring/ring.ts';
import { readRing } from '../keyring/ringfile.ts';
import { type RingView, requireSuccessor } from '../keyring/succession.ts';

type Candidate = { readonly kind: 'good'; readonly ring: Ring } | RefusedRing;

export interface RefusedRing {
  readonly kind: 'refused';
  /** Undefined where the file cannot be read. */
  readonly ring: Ring | undefined;
  readonly error: KleidiError;
}

/** Never rejects. A file that says the same gives the ring in use itself. */
export async function readCandidate(path: string, inUse: Keyring | undefined): Promise<Candidate> {
  let ring: Ring | undefined;
  try {
    ring = await readRing(path);
    if (inUse === undefined) return { kind: 'good', ring };
    requireSuccessor(ring, viewOf(inUse));
    const isSame = formatRing(ring) === formatRing(inUse.ring);
    return { kind: 'good', ring: isSame ? inUse.ring : ring };
  } catch (thrown) {
    return { kind: 'refused', ring, error: KleidiError.from(thrown) };
  }
}

/** What was never verified need not be kept to. */
function viewOf(keyring: Keyring): RingView {
  const keks = keyring.ring.keks.map((kek) => ({ ...kek, verified: keyring.isVerified(kek.fp) }));
  return { ...keyring.ring, keks };
}

/** A successor that this host could not write with, while it can with the ring in use. */
export function refusedForWriting(path: string, ring: Ring): RefusedRing {
  const error = new KleidiError('kek-missing', `${path} names a write KEK that this host lacks`, {
    hint: 'kleidi join brings it here; kleidi key list shows what this host holds',
  });
  return { kind: 'refused', ring, error };
}
