// A token whose module is called in the thread that asks, in one session. Any
// error spends the session: it is closed and the next call gets a new one, because
// a failed call can leave a session in "operation active" for ever.

import type { Fingerprint, KekIdentity } from '../provider.ts';
import { SlownessWatch } from './callmode.ts';
import type { TokenCalls } from './calls.ts';
import * as gcm from './gcm.ts';
import { identityOf } from './identity.ts';
import { findWanted, type HeldKeks } from './kek.ts';
import type { Handle } from './module.ts';
import { kernelNonces, type NonceSource } from './nonces.ts';
import type { Token } from './token.ts';

export class LocalToken implements TokenCalls {
  readonly mode = 'in-thread';
  readonly token: Token;
  readonly #watch: SlownessWatch;
  readonly #nonces: NonceSource = kernelNonces();
  #session: Handle | undefined;

  /**
   * @param onSlow the module has become too slow for the thread of an event loop:
   *   nothing is sealed here any more
   * @throws KleidiError file-failed where the kernel gives no nonces
   */
  constructor(token: Token, onSlow?: () => void) {
    this.token = token;
    this.#watch = new SlownessWatch(() => {
      if (onSlow === undefined) return;
      this.#nonces.close();
      onSlow();
    });
  }

  get description(): string {
    return this.token.module.description;
  }

  async seal(key: Handle, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#lend((session) =>
      gcm.encrypt(this.#call(session, key), this.#nonces, plaintext, aad),
    );
  }

  async unseal(key: Handle, body: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#lend((session) => gcm.decrypt(this.#call(session, key), body, aad));
  }

  async identify(key: Handle): Promise<KekIdentity> {
    return this.#lend((session) => identityOf(this.token.module.api, session, key));
  }

  async find(wanted: ReadonlySet<Fingerprint>, held: HeldKeks): Promise<HeldKeks> {
    await this.token.revive();
    return findWanted(this.token, wanted, held);
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

  #call(session: Handle, key: Handle): gcm.GcmCall {
    return { api: this.token.module.api, session, key };
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
