// A token that stays alive: renewed at two thirds of its lease, replaced by a new
// login where renewal ends or Vault has forgotten it. Nothing here ever ends the
// process; while there is no token, calls fail with the reason.
import { KleidiError } from '../../errors.ts';
import { type Login, login, renew } from './auth.ts';
import type { Answer, Ask, VaultHttp } from './http.ts';
import type { VaultAuth } from './settings.ts';

const loginTimeoutMs = 2_000;
/** A lease below this cannot be renewed in time: a new login is made instead. */
const shortestMs = 1_000;
const longestTimerMs = 2 ** 31 - 1;

export class VaultSession {
  readonly #http: VaultHttp;
  readonly #auth: VaultAuth;
  #login: Login | undefined;
  /** The login that is under way, shared by all who wait for it. */
  #pending: Promise<Login> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(http: VaultHttp, auth: VaultAuth) {
    this.#http = http;
    this.#auth = auth;
  }

  /**
   * Asks with the token of this session. A token that Vault refuses is replaced
   * once, because it may have been revoked or have expired while we were cut off.
   * @throws KleidiError vault-*, ciphertext-invalid
   */
  async ask(ask: Omit<Ask, 'token'>): Promise<Answer> {
    const { token } = this.#login ?? (await this.#logIn());
    try {
      return await this.#http.ask({ ...ask, token });
    } catch (thrown) {
      if (KleidiError.from(thrown).code !== 'vault-denied') throw thrown;
      if (this.#auth.method === 'token' || (await this.#isAlive(token))) throw thrown;
      if (this.#login?.token === token) this.#login = undefined;
      const again = this.#login ?? (await this.#logIn());
      return this.#http.ask({ ...ask, token: again.token });
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Tells a dead token from a policy that lacks the path. */
  async #isAlive(token: string): Promise<boolean> {
    const path = 'auth/token/lookup-self';
    return this.#http.ask({ method: 'GET', path, token, timeoutMs: loginTimeoutMs }).then(
      () => true,
      (thrown: unknown) => KleidiError.from(thrown).code !== 'vault-denied',
    );
  }

  #logIn(): Promise<Login> {
    this.#pending ??= login(this.#http, this.#auth, loginTimeoutMs)
      .then((fresh) => this.#take(fresh))
      .finally(() => {
        this.#pending = undefined;
      });
    return this.#pending;
  }

  #take(fresh: Login): Login {
    this.#login = fresh;
    clearTimeout(this.#timer);
    if (fresh.leaseMs > 0 && !this.#closed) this.#wake((fresh.leaseMs * 2) / 3);
    return fresh;
  }

  #wake(inMs: number): void {
    const waitMs = Math.min(Math.max(inMs, shortestMs / 2), longestTimerMs);
    this.#timer = setTimeout(() => void this.#keepAlive(), waitMs).unref();
  }

  /** Where both ways fail it tries again soon; calls go on with the old token meanwhile. */
  async #keepAlive(): Promise<void> {
    const old = this.#login;
    if (old === undefined || this.#closed) return;
    const renewed =
      old.renewable && old.leaseMs >= shortestMs ? await this.#renewed(old) : undefined;
    // Near its maximum, a renewed lease shrinks: then it is time for a new login.
    const whole = renewed !== undefined && renewed.leaseMs >= old.leaseMs / 2;
    if (whole) this.#take({ ...renewed, leaseMs: Math.max(renewed.leaseMs, 1) });
    else await this.#logIn().catch(() => this.#wake(Math.min(old.leaseMs / 10, 30_000)));
  }

  #renewed(old: Login): Promise<Login | undefined> {
    return renew(this.#http, old.token, loginTimeoutMs).catch(() => undefined);
  }
}
