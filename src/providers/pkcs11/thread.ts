// A thread that calls the module, seen from the thread that asks. A call that
// hangs in it stops nobody else; but such a thread cannot be ended either, so the
// set of those that were given up is kept for as long as the process lives.
import { Worker } from 'node:worker_threads';
import { KleidiError, reasonOf } from '../../errors.ts';
import { textOptions, threadOptions } from '../../threadoptions.ts';
import { type Answer, buffersOf, packed, thrownBy, unpacked } from './messages.ts';
import { expose, type Pkcs11Settings } from './settings.ts';
import type { ThreadWork } from './threadwork.ts';

/** What a thread runs, threadentry.ts; a text in the built program (packaging/program.ts). */
declare const KLEIDI_TOKEN_THREAD: string | undefined;

type Step = keyof ThreadWork;
type StepArguments<S extends Step> = Parameters<ThreadWork[S]>;
type StepResult<S extends Step> = Awaited<ReturnType<ThreadWork[S]>>;

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class TokenThread {
  readonly #worker: Worker;
  readonly ended: Promise<void>;
  #pending: Pending | undefined;
  #hasEnded = false;

  readonly #onCall: (call: Promise<unknown>) => void;

  /** @param worker has begun already, and was asked nothing */
  constructor(onCall: (call: Promise<unknown>) => void, worker = newWorker()) {
    this.#onCall = onCall;
    this.#worker = worker;
    this.#worker.on('message', (answer: Answer) => this.#answered(answer));
    this.#worker.once('error', (error) => this.#lost(error));
    this.ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#lost(new Error('it ended'));
        resolve();
      });
    });
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Whether the process stays for this thread's sake. */
  holds(process: boolean): void {
    if (process) this.#worker.ref();
    else this.#worker.unref();
  }

  /** For one that has called nothing: it would wait for a call that is stuck. */
  end(): void {
    void this.#worker.terminate();
  }

  /** One at a time. Rejects with what the step threw, or KleidiError where the thread ends. */
  call<S extends Step>(step: S, ...given: StepArguments<S>): Promise<StepResult<S>> {
    if (this.#hasEnded) return Promise.reject(lostThread(new Error('it ended')));
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending = { resolve, reject };
    this.#onCall(promise);
    const message = packed({ step, given });
    this.#worker.postMessage(message, buffersOf(message));
    return promise as Promise<StepResult<S>>;
  }

  #answered(answer: Answer): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (answer.kind === 'done') pending?.resolve(unpacked(answer.result));
    else pending?.reject(thrownBy(answer));
  }

  #lost(cause: unknown): void {
    this.#hasEnded = true;
    this.#pending?.reject(lostThread(cause));
    this.#pending = undefined;
  }
}

function newWorker(): Worker {
  const program = import.meta.url;
  return typeof KLEIDI_TOKEN_THREAD === 'string'
    ? new Worker(KLEIDI_TOKEN_THREAD, textOptions(program))
    : new Worker(new URL('threadentry.ts', program), threadOptions(program));
}

/** The calls of this process that are out in threads. One for as long as it lives. */
export class ModuleThreads {
  readonly #out = new Set<Promise<unknown>>();
  readonly #stuck = new Set<Promise<unknown>>();
  #why: KleidiError | undefined;
  #prepared: TokenThread | undefined;
  readonly #called = Promise.withResolvers<void>();

  /** Resolves once the first call is out. */
  get called(): Promise<void> {
    return this.#called.promise;
  }

  /**
   * Starts a thread that calls nothing yet, for the next `start`: a thread takes about as
   * long to begin as the rest of the program to load, and both can go on at once.
   *
   * @param worker the one that was begun before the program was loaded
   */
  prepare(worker?: Worker): void {
    this.#prepared ??= this.#begin(worker);
    this.#prepared.holds(false);
  }

  /** There is no token to open. */
  dismiss(): void {
    this.#prepared?.end();
    this.#prepared = undefined;
  }

  /** @throws KleidiError why a call was given up that is still out: nothing can be opened anew then */
  requireNoneStuck(): void {
    if (this.#stuck.size > 0 && this.#why !== undefined) throw this.#why;
  }

  /** @param settings of the module that the thread will call */
  start(settings: Pkcs11Settings): TokenThread {
    // A module sees the environment of the process, which only the main thread can set.
    expose(settings);
    const prepared = this.#prepared;
    this.#prepared = undefined;
    if (prepared === undefined || prepared.hasEnded) return this.#begin();
    prepared.holds(true);
    return prepared;
  }

  #begin(worker?: Worker): TokenThread {
    const onCall = (call: Promise<unknown>): void => {
      remember(this.#out, call);
      this.#called.resolve();
    };
    return new TokenThread(onCall, worker);
  }

  giveUp(call: Promise<unknown>, why: KleidiError): void {
    this.#why = why;
    remember(this.#stuck, call);
  }

  /** Whether all calls come back within this time: process.exit would wait for ever. */
  quiet(timeoutMs: number): Promise<boolean> {
    return settlesWithin(Promise.allSettled([...this.#out, ...this.#stuck]), timeoutMs);
  }
}

function remember(calls: Set<Promise<unknown>>, call: Promise<unknown>): void {
  calls.add(call);
  const back = (): void => void calls.delete(call);
  call.then(back, back);
}

export async function settlesWithin(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const { promise: tooLong, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, timeoutMs, false);
  const settled = work.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, tooLong]).finally(() => clearTimeout(timer));
}

function lostThread(cause: unknown): KleidiError {
  const why = reasonOf(cause);
  return new KleidiError(
    'module-failed',
    `a thread that calls the PKCS#11 module is lost: ${why}`,
    {
      hint: 'check free memory and the limit of tasks (TasksMax); kleidi tries again by itself',
      cause,
    },
  );
}
