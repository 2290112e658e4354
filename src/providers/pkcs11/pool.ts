// The threads in which a module is called, several calls at a time, each with a
// deadline that includes the wait for a thread. A call that misses it fails for its
// caller at once; one that stays out too long is stuck, and with it the module.
// Threads are added while calls wait, up to a limit.
import { KleidiError } from '../../errors.ts';
import { type Limit, opening, stuckCall, tooLate } from './limit.ts';
import type { Pkcs11Settings } from './settings.ts';
import { type ModuleThreads, settlesWithin, type TokenThread } from './thread.ts';

/** Each takes about 20 MB of MemoryMax=768M, and one of the sessions of the HSM. */
const mostThreads = 6;

interface PoolParts {
  readonly settings: Pkcs11Settings;
  readonly threads: ModuleThreads;
  /** A call is stuck: the module cannot be used by this process any more. */
  onStuck(error: KleidiError): void;
  /** Brings a new thread to the token; undefined while there is no token to come to. */
  joiner(): ((thread: TokenThread) => Promise<void>) | undefined;
}

type Enter = (thread: TokenThread) => void;

export class ThreadPool {
  readonly #parts: PoolParts;
  readonly #idle: TokenThread[] = [];
  readonly #waiting: Enter[] = [];
  readonly #out = new Map<TokenThread, Promise<unknown>>();
  #threads = 0;
  /** What was told of a call that does not come back. */
  #stuck: KleidiError | undefined;
  /** One thread at a time: starting one takes the processor from the calls. */
  #isGrowing = false;
  #closed = false;
  /** What comes back from now on has been given up. */
  #hasEnded = false;

  constructor(parts: PoolParts) {
    this.#parts = parts;
  }

  /** The thread that opens the token, before there is anything to join. */
  begin(): void {
    this.#threads += 1;
    this.#idle.push(this.#start());
  }

  /** @throws KleidiError deadline, starting; what `work` throws */
  async run<T>(limit: Limit, work: (thread: TokenThread) => Promise<T>): Promise<T> {
    if (this.#closed) throw new KleidiError('starting', 'the token is being closed');
    const lateMs = performance.now() + limit.timeoutMs;
    const thread = await this.#enter(limit);
    const done = this.#watched(limit, thread, work).finally(() => this.#leave(thread));
    return this.#before(limit, lateMs, done);
  }

  /** One more thread on the token that is open, if there may be one. */
  grow(): void {
    const join = this.#parts.joiner();
    if (this.#isGrowing || this.#threads >= mostThreads || this.#closed) return;
    if (join === undefined) return;
    this.#isGrowing = true;
    this.#threads += 1;
    const limit = opening('C_Initialize', performance.now() + this.#parts.settings.openTimeoutMs);
    const thread = this.#start();
    this.#watched(limit, thread, join)
      .finally(() => {
        this.#isGrowing = false;
      })
      .then(
        () => this.#joined(thread),
        // Those who wait get another thread, or meet their deadline.
        () => {
          if (!this.#hasEnded) this.#drop(thread);
        },
      );
  }

  #joined(thread: TokenThread): void {
    this.#leave(thread);
    if (this.#waiting.length > 0) this.grow();
  }

  #start(): TokenThread {
    return this.#parts.threads.start(this.#parts.settings);
  }

  /** @param finalize false where the token stays open for another thread */
  async end(finalize: boolean): Promise<void> {
    this.#closed = true;
    const { settings, threads } = this.#parts;
    const endMs = performance.now() + settings.callTimeoutMs;
    // Those who wait for a thread are served too: each time a call is back, look again.
    while (this.#out.size > 0 && performance.now() < endMs) {
      await settlesWithin(Promise.allSettled(this.#out.values()), endMs - performance.now());
    }
    const why = this.#stuck ?? stuckCall(settings.callTimeoutMs, undefined);
    for (const [thread, call] of this.#out) {
      threads.giveUp(this.#endLate(thread, call, finalize), why);
    }
    this.#hasEnded = true;
    const idle = this.#idle.splice(0);
    const last = this.#out.size === 0 ? idle.at(-1) : undefined;
    for (const thread of idle) {
      const ended = thread.call('end', finalize && thread === last).then(() => thread.ended);
      if (!(await settlesWithin(ended, settings.callTimeoutMs))) threads.giveUp(ended, why);
    }
  }

  /** Unloaded without C_Finalize, a module may crash: the last one that comes back ends it. */
  async #endLate(thread: TokenThread, call: Promise<unknown>, finalize: boolean): Promise<void> {
    await call.catch(() => undefined);
    this.#out.delete(thread);
    await thread.call('end', finalize && this.#out.size === 0);
  }

  /** Takes an idle thread, or waits for one that another call hands over. */
  #enter(limit: Limit): Promise<TokenThread> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return Promise.resolve(this.#lent(idle));
    return new Promise((resolve, reject) => {
      const enter = (thread: TokenThread): void => {
        clearTimeout(timer);
        resolve(thread);
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(tooLate(limit));
      }, limit.timeoutMs);
      this.#waiting.push(enter);
      this.grow();
    });
  }

  #leave(thread: TokenThread): void {
    this.#out.delete(thread);
    if (this.#hasEnded) return;
    if (thread.hasEnded) {
      this.#drop(thread);
      return;
    }
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(thread);
    else next(this.#lent(thread));
  }

  /** Out from now on, so that nothing is finalised before its call begins. */
  #lent(thread: TokenThread): TokenThread {
    this.#out.set(thread, Promise.resolve());
    return thread;
  }

  /** It cannot be used. */
  #drop(thread: TokenThread): void {
    this.#out.delete(thread);
    this.#threads -= 1;
    thread.call('end', false).catch(() => undefined);
  }

  /** The thread is out until the work has come back. */
  #watched<T>(
    { stage, stuckMs }: Limit,
    thread: TokenThread,
    work: (thread: TokenThread) => Promise<T>,
  ): Promise<T> {
    const done = work(thread);
    this.#out.set(thread, done);
    const timer = setTimeout(() => {
      if (this.#closed) return;
      this.#stuck = stuckCall(stuckMs, stage);
      this.#parts.onStuck(this.#stuck);
    }, stuckMs);
    return done.finally(() => clearTimeout(timer));
  }

  #before<T>(limit: Limit, lateMs: number, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(tooLate(limit)), lateMs - performance.now());
      work.finally(() => clearTimeout(timer)).then(resolve, reject);
    });
  }
}
