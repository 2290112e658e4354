// A token whose module is called in the thread that asks, in one session. Any
// error spends the session: it is closed and the next call gets a new one, because
// a failed call can leave a session in "operation active" for ever.

import type { Fingerprint, KekIdentity } from '../provider.ts';
import { SlownessWatch } from './callmode.ts';
import type { TokenCalls } from './calls.ts';
import { findWanted, type HeldKeks } from './kek.ts';
import type { Handle } from './module.ts';
import { kernelNonces, type NonceSource } from './nonces.ts';
import type { FoundKek, KeyCall, KeyScheme } from './scheme.ts';
import type { Token } from './token.ts';

export class LocalToken implements TokenCalls {
  readonly mode = 'in-thread';
  readonly token: Token;
  readonly #scheme: KeyScheme;
  readonly #watch: SlownessWatch;
  readonly #nonces: NonceSource = kernelNonces();
  #session: Handle | undefined;

  /**
   * @param onSlow the module has become too slow for the thread of an event loop:
   *   nothing is sealed here any more
   * @throws KleidiError file-failed where the kernel gives no nonces
   */
  constructor(token: Token, scheme: KeyScheme, onSlow?: () => void) {
    this.token = token;
    this.#scheme = scheme;
    this.#watch = new SlownessWatch(() => {
      if (onSlow === undefined) return;
      this.#nonces.close();
      onSlow();
    });
  }

  get description(): string {
    return this.token.module.description;
  }

  async seal(kek: FoundKek, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#lend((session) =>
      this.#scheme.seal(this.#call(session, kek), this.#nonces, plaintext, aad),
    );
  }

  async unseal(kek: FoundKek, body: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#lend((session) => this.#scheme.unseal(this.#call(session, kek), body, aad));
  }

  async identify(kek: FoundKek): Promise<KekIdentity> {
    return this.#lend((session) => this.#scheme.identify(this.#call(session, kek)));
  }

  async find(wanted: ReadonlySet<Fingerprint>, held: HeldKeks): Promise<HeldKeks> {
    await this.token.revive();
    return findWanted(this.token, this.#scheme, wanted, held);
  }

  async close(): Promise<void> {
    this.leave();
    this.token.module.close();
  }

  /** Module and token stay open, for other threads. */
  leave(): void {
    this.#closeSession();
    this.#nonces.close();
  }

  #closeSession(): void {
    if (this.#session !== undefined) this.token.closeSession(this.#session);
    this.#session = undefined;
  }

  #call(session: Handle, kek: FoundKek): KeyCall {
    return { api: this.token.module.api, session, kek };
  }

  #lend<T>(operation: (session: Handle) => T): T {
    const startMs = performance.now();
    try {
      this.#session ??= this.token.newSession();
      return operation(this.#session);
    } catch (error) {
      this.#closeSession();
      throw error;
    } finally {
      this.#watch.took(performance.now() - startMs);
    }
  }
}
