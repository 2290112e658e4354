// A token whose module is called in threads of their own: for modules that are slow,
// and for every module until it was measured.
import { KleidiError } from '../../errors.ts';
import type { Fingerprint, KekIdentity } from '../provider.ts';
import type { TokenCalls } from './calls.ts';
import type { HeldKeks } from './kek.ts';
import { type Limit, opening } from './limit.ts';
import { ThreadPool } from './pool.ts';
import type { FoundKek } from './scheme.ts';
import type { Pkcs11Settings } from './settings.ts';
import type { ModuleThreads, TokenThread } from './thread.ts';
import type { Place } from './token.ts';

export interface PooledParts {
  readonly settings: Pkcs11Settings;
  readonly pin: string;
  readonly threads: ModuleThreads;
  /** The step of opening that comes next. */
  onStage(stage: string): void;
  /** A call is stuck: the module cannot be used by this process any more. */
  onStuck(error: KleidiError): void;
}

export class PooledToken implements TokenCalls {
  readonly mode = 'threads';
  readonly #parts: PooledParts;
  readonly #pool: ThreadPool;
  readonly #call: Limit;
  #place: Place | undefined;
  description = '';

  private constructor(parts: PooledParts) {
    const { callTimeoutMs } = parts.settings;
    const { settings, threads, onStuck } = parts;
    this.#parts = parts;
    this.#call = { what: 'a call', timeoutMs: callTimeoutMs, stuckMs: 2 * callTimeoutMs };
    this.#pool = new ThreadPool({ settings, threads, onStuck, joiner: () => this.#joiner() });
  }

  /** Opens module and token in a first thread. @throws KleidiError module-*, token-*, pin-refused */
  static async open(parts: PooledParts): Promise<PooledToken> {
    const { settings, threads } = parts;
    threads.requireNoneStuck();
    const token = new PooledToken(parts);
    try {
      await token.#open(performance.now() + settings.openTimeoutMs);
      return token;
    } catch (error) {
      await token.close();
      throw error;
    }
  }

  /** For a token that is open in another thread. */
  static at(parts: PooledParts, place: Place, description: string): PooledToken {
    const token = new PooledToken(parts);
    token.#place = place;
    token.description = description;
    token.#pool.grow();
    return token;
  }

  get place(): Place {
    if (this.#place !== undefined) return this.#place;
    throw new KleidiError('starting', 'the token is not open yet');
  }

  seal(kek: FoundKek, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#pool.run(this.#call, (thread) =>
      thread.call('seal', this.place, kek, plaintext, aad),
    );
  }

  unseal(kek: FoundKek, body: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#pool.run(this.#call, (thread) =>
      thread.call('unseal', this.place, kek, body, aad),
    );
  }

  identify(kek: FoundKek): Promise<KekIdentity> {
    return this.#pool.run(this.#call, (thread) => thread.call('identify', this.place, kek));
  }

  async find(wanted: ReadonlySet<Fingerprint>, held: HeldKeks): Promise<HeldKeks> {
    const endMs = performance.now() + this.#parts.settings.openTimeoutMs;
    const { place, keks } = await this.#pool.run(opening('C_FindObjects', endMs), (thread) =>
      thread.call('find', this.place, [...wanted], held),
    );
    this.#place = place;
    return keks;
  }

  /** Whether the module is fast enough to be called in the thread of an event loop. */
  isFast(kek: FoundKek): Promise<boolean> {
    const endMs = performance.now() + this.#parts.settings.openTimeoutMs;
    return this.#pool.run(opening('C_Encrypt', endMs), (thread) =>
      thread.call('isFast', this.place, kek),
    );
  }

  async close(): Promise<void> {
    await this.#pool.end(true);
  }

  /** The token stays open for another thread. */
  async leave(): Promise<void> {
    await this.#pool.end(false);
  }

  async #open(endMs: number): Promise<void> {
    const { settings, pin, onStage } = this.#parts;
    onStage('C_Initialize');
    this.#pool.begin();
    this.description = await this.#pool.run(opening('C_Initialize', endMs), (thread) =>
      thread.call('initialize', settings),
    );
    onStage('C_Login');
    this.#place = await this.#pool.run(opening('C_Login', endMs), (thread) =>
      thread.call('login', settings, pin),
    );
  }

  #joiner(): ((thread: TokenThread) => Promise<void>) | undefined {
    const { settings, pin } = this.#parts;
    const place = this.#place;
    if (place === undefined) return undefined;
    return async (thread) => {
      await thread.call('initialize', settings);
      await thread.call('join', settings, pin, place);
    };
  }
}
