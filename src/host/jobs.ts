// The daemon's jobs: one at a time, in the order in which they come, some at intervals.
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
