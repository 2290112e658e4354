// Where calls should run, by measured speed. Noise only ever adds, so the
// fastest of a few counts, and some slow calls at the start do no harm.

const mostPairs = 10;
const budgetMs = 250;

/** Of an encryption and a decryption: slower ones would stop the event loop for too long. */
const fastPairMs = 0.4;

/** @param pair an encryption and a decryption */
export async function isFast(pair: () => Promise<void>): Promise<boolean> {
  const endMs = performance.now() + budgetMs;
  for (let i = 0; i < mostPairs; i += 1) {
    const startMs = performance.now();
    if (startMs > endMs) return false;
    await pair();
    if (performance.now() - startMs < fastPairMs) return true;
  }
  return false;
}

/** Far above what noise adds to a fast call, far below what a client would notice. */
const slowCallMs = 5;
const slowInARow = 5;

/** Tells once when calls that used to be fast have become slow. */
export class SlownessWatch {
  readonly #onSlow: () => void;
  #inARow = 0;

  constructor(onSlow: () => void) {
    this.#onSlow = onSlow;
  }

  took(ms: number): void {
    if (ms < slowCallMs) {
      this.#inARow = 0;
      return;
    }
    this.#inARow += 1;
    if (this.#inARow === slowInARow) this.#onSlow();
  }
}
