// Where calls should run, by measured speed. Noise only ever adds, so the
// fastest of a few counts, and one slow call at the start does no harm.
import type { CallMode } from './gcm.ts';

const pairs = 5;

/** Two calls that are slower than this would stop the event loop for too long. */
const fastPairMs: Readonly<Record<CallMode, number>> = {
  // Only worth trying in this thread: a hop to the pool and back is in it.
  pooled: 20,
  synchronous: 0.4,
};

/** @param pair an encryption and a decryption */
export async function isFast(mode: CallMode, pair: () => Promise<void>): Promise<boolean> {
  for (let i = 0; i < pairs; i += 1) {
    const startMs = performance.now();
    await pair();
    if (performance.now() - startMs < fastPairMs[mode]) return true;
  }
  return false;
}
