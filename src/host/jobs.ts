// The daemon's jobs: one at a time, in the order in which they come, some at intervals; and
// one pending retry, with a back-off from 0.2 s to 30 s.
import { KleidiError } from '../errors.ts';

interface JobHooks {
  failed(error: KleidiError): void;
  /** After each job, however it ended. */
  ended(): void;
}

export class Jobs {
  readonly #hooks: JobHooks;
  readonly #timers: NodeJS.Timeout[] = [];
  #queue: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(hooks: JobHooks) {
    this.#hooks = hooks;
  }

  /** Resolves when the job has ended. Never rejects: `failed` was told. */
  run(job: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(async () => {
      if (this.#stopped) return;
      await job().catch((error: unknown) => this.#hooks.failed(KleidiError.from(error)));
      this.#hooks.ended();
    });
    return this.#queue;
  }

  every(intervalMs: number, job: () => Promise<void>): void {
    this.#timers.push(setInterval(() => void this.run(job), intervalMs));
  }

  /** The job under way goes on; no other one begins. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
  }
}

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
