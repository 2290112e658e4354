// One pending retry, with a back-off from 0.2 s to 30 s.

const firstMs = 200;
const longestMs = 30_000;

export class RetryTimer {
  readonly #job: () => void;
  #timer: NodeJS.Timeout | undefined;
  #nextMs = firstMs;

  constructor(job: () => void) {
    this.#job = job;
  }

  schedule(): void {
    this.cancel();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#job();
    }, this.#nextMs);
    this.#nextMs = Math.min(2 * this.#nextMs, longestMs);
  }

  get isPending(): boolean {
    return this.#timer !== undefined;
  }

  /** After a success the next failure is tried again soon. */
  reset(): void {
    this.cancel();
    this.#nextMs = firstMs;
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
