// A lane lends sessions to operations. Any error spends the session: it is
// closed and the next operation gets a new one, because a failed call can leave
// a session in "operation active" for ever.
import { KleidiError } from '../../errors.ts';
import type { CallMode } from './gcm.ts';
import type { Handle } from './module.ts';
import type { Token } from './token.ts';

export interface Lane {
  readonly mode: CallMode;
  run<T>(operation: (session: Handle) => Promise<T>): Promise<T>;
  close(): void;
}

/** One session, calls in this thread: right for modules faster than 0.2 ms a call. */
export class SynchronousLane implements Lane {
  readonly mode = 'synchronous';
  readonly #token: Token;
  #session: Handle | undefined;

  constructor(token: Token) {
    this.#token = token;
  }

  async run<T>(operation: (session: Handle) => Promise<T>): Promise<T> {
    const session = this.#session ?? this.#token.newSession();
    this.#session = session;
    try {
      return await operation(session);
    } catch (error) {
      this.#token.closeSession(session);
      if (this.#session === session) this.#session = undefined;
      throw error;
    }
  }

  close(): void {
    if (this.#session !== undefined) this.#token.closeSession(this.#session);
    this.#session = undefined;
  }
}

/** libuv has 4 threads by default, and files need one too. */
const pooledSessions = 3;

/**
 * A few sessions, calls on the thread pool, each with a deadline. A call that
 * misses it fails for its caller at once; one that is still out after twice
 * that time is stuck, and with it the module.
 */
export class PooledLane implements Lane {
  readonly mode = 'pooled';
  readonly #token: Token;
  readonly #timeoutMs: number;
  readonly #onStuck: (error: KleidiError) => void;
  readonly #idle: Handle[] = [];
  readonly #waiting: (() => void)[] = [];
  #lent = 0;

  constructor(token: Token, timeoutMs: number, onStuck: (error: KleidiError) => void) {
    this.#token = token;
    this.#timeoutMs = timeoutMs;
    this.#onStuck = onStuck;
  }

  async run<T>(operation: (session: Handle) => Promise<T>): Promise<T> {
    const session = await this.#borrow();
    const work = operation(session).then(
      (result) => {
        this.#idle.push(session);
        return result;
      },
      (error: unknown) => {
        this.#token.closeSession(session);
        throw error;
      },
    );
    return this.#withDeadline(work.finally(() => this.#return()));
  }

  close(): void {
    for (const session of this.#idle.splice(0)) this.#token.closeSession(session);
  }

  async #borrow(): Promise<Handle> {
    while (this.#lent >= pooledSessions) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    const session = this.#idle.pop() ?? this.#token.newSession();
    this.#lent += 1;
    return session;
  }

  #return(): void {
    this.#lent -= 1;
    this.#waiting.shift()?.();
  }

  #withDeadline<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const late = setTimeout(() => reject(tooLate(this.#timeoutMs)), this.#timeoutMs);
      const stuck = setTimeout(
        () => this.#onStuck(stuckCall(this.#timeoutMs)),
        2 * this.#timeoutMs,
      );
      const settle = (): void => {
        clearTimeout(late);
        clearTimeout(stuck);
      };
      work.finally(settle).then(resolve, reject);
    });
  }
}

function tooLate(timeoutMs: number): KleidiError {
  return new KleidiError('deadline', `the token did not answer within ${timeoutMs} ms`);
}

function stuckCall(timeoutMs: number): KleidiError {
  return new KleidiError(
    'module-failed',
    `a call has been stuck in the module for ${2 * timeoutMs} ms`,
    {
      hint: 'check the HSM and its connection; kleidi starts afresh by itself',
    },
  );
}
