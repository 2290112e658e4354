// A lane lends sessions to operations. Any error spends the session: it is
// closed and the next operation gets a new one, because a failed call can leave
// a session in "operation active" for ever.
import { KleidiError } from '../../errors.ts';
import type { CallMode } from './gcm.ts';
import type { Handle } from './module.ts';
import type { Token } from './token.ts';

export type Operation<T> = (session: Handle, mode: CallMode) => Promise<T>;

export interface Lane {
  readonly mode: CallMode;
  /** Rejects with what the operation or C_OpenSession threw. */
  run<T>(operation: Operation<T>): Promise<T>;
  /** Resolves to whether every call has come back from the module. */
  close(): Promise<boolean>;
}

/** One session, calls in this thread: right for modules faster than 0.2 ms a call. */
export class SynchronousLane implements Lane {
  readonly mode = 'synchronous';
  readonly #token: Token;
  #session: Handle | undefined;

  constructor(token: Token) {
    this.#token = token;
  }

  async run<T>(operation: Operation<T>): Promise<T> {
    const session = this.#session ?? this.#token.newSession();
    this.#session = session;
    try {
      return await operation(session, this.mode);
    } catch (error) {
      // Closed once only: a module may give the same number to the next session.
      if (this.#session === session) await this.close();
      throw error;
    }
  }

  async close(): Promise<boolean> {
    if (this.#session !== undefined) this.#token.closeSession(this.#session);
    this.#session = undefined;
    return true;
  }
}

/** libuv has 4 threads by default, and files need one too. */
const pooledSessions = 3;

/**
 * A few sessions, calls on the thread pool, each with a deadline that includes
 * the wait for a session. A call that misses it fails for its caller at once; one
 * that is still out after twice that time is stuck, and with it the module.
 */
export class PooledLane implements Lane {
  readonly mode = 'pooled';
  readonly #token: Token;
  readonly #timeoutMs: number;
  readonly #onStuck: (error: KleidiError) => void;
  readonly #idle: Handle[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #out = new Set<Promise<unknown>>();
  #places = pooledSessions;
  #closed = false;

  constructor(token: Token, timeoutMs: number, onStuck: (error: KleidiError) => void) {
    this.#token = token;
    this.#timeoutMs = timeoutMs;
    this.#onStuck = onStuck;
  }

  async run<T>(operation: Operation<T>): Promise<T> {
    const lateMs = performance.now() + this.#timeoutMs;
    await this.#enter(lateMs);
    const work = this.#lend(operation).finally(() => this.#leave());
    this.#watch(work);
    return this.#before(lateMs, work);
  }

  async close(): Promise<boolean> {
    this.#closed = true;
    for (const session of this.#idle.splice(0)) this.#token.closeSession(session);
    const allBack = Promise.allSettled(this.#out).then(() => true);
    const { promise: tooLong, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(resolve, this.#timeoutMs, false);
    return Promise.race([allBack, tooLong]).finally(() => clearTimeout(timer));
  }

  /** Takes a place, or waits for one that another call hands over. */
  #enter(lateMs: number): Promise<void> {
    if (this.#places > 0) {
      this.#places -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(tooLate(this.#timeoutMs));
      }, lateMs - performance.now());
      this.#waiting.push(enter);
    });
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#places += 1;
    else next();
  }

  async #lend<T>(operation: Operation<T>): Promise<T> {
    if (this.#closed) throw new KleidiError('starting', 'the token is being closed');
    const session = this.#idle.pop() ?? this.#token.newSession();
    try {
      const result = await operation(session, this.mode);
      if (this.#closed) this.#token.closeSession(session);
      else this.#idle.push(session);
      return result;
    } catch (error) {
      this.#token.closeSession(session);
      throw error;
    }
  }

  #watch(work: Promise<unknown>): void {
    const stuck = setTimeout(() => {
      if (!this.#closed) this.#onStuck(stuckCall(2 * this.#timeoutMs));
    }, 2 * this.#timeoutMs);
    const back = (): void => {
      clearTimeout(stuck);
      this.#out.delete(work);
    };
    this.#out.add(work);
    work.then(back, back);
  }

  #before<T>(lateMs: number, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(tooLate(this.#timeoutMs)), lateMs - performance.now());
      work.finally(() => clearTimeout(timer)).then(resolve, reject);
    });
  }
}

function tooLate(timeoutMs: number): KleidiError {
  return new KleidiError('deadline', `the token did not answer within ${timeoutMs} ms`);
}

function stuckCall(afterMs: number): KleidiError {
  return new KleidiError('module-failed', `a call is stuck in the module for ${afterMs} ms`, {
    hint: 'check the HSM and its connection; kleidi starts afresh by itself',
  });
}
