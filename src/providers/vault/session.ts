// A token that stays alive: renewed at two thirds of its lease, replaced by a new
// login where renewal ends or Vault has forgotten it. One login at a time, and after
// a refused one a pause: each counts against Vault's user lockout, and fills its audit
// log. Nothing here ever ends the process; while there is no token, calls fail with
// the reason.
import { KleidiError } from '../../errors.ts';
import type { ProviderCounts } from '../counts.ts';
import type { ServerStanding } from '../provider.ts';
import type { Answer, Login } from './answers.ts';
import { askAbout, login, renew } from './auth.ts';
import { Breaker, isOutage } from './breaker.ts';
import type { VaultAuth } from './configured.ts';
import type { Ask, VaultHttp } from './http.ts';

const loginTimeoutMs = 2_000;
/** A lease below this cannot be renewed in time: a new login is made instead. */
const shortestMs = 1_000;
const longestTimerMs = 2 ** 31 - 1;
/** Outages are the business of the breaker before Vault as a whole. */
const refusedLogins = {
  threshold: 1,
  firstMs: 500,
  longestMs: 30_000,
  counts: (error: KleidiError) => !isOutage(error),
} as const;

export class VaultSession {
  readonly #http: VaultHttp;
  readonly #auth: VaultAuth;
  readonly #counts: ProviderCounts;
  readonly #gate = new Breaker(refusedLogins);
  #login: Login | undefined;
  /** When Vault said how long it is good for. */
  #takenUnixMs = 0;
  /** The last token that Vault has taken for a call. */
  #proven = '';
  /** The login that is under way, shared by all who wait for it. */
  #pending: Promise<Login> | undefined;
  /** The look at this token that is under way, shared likewise. */
  #look: { readonly token: string; readonly isAlive: Promise<boolean> } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(http: VaultHttp, auth: VaultAuth, counts: ProviderCounts) {
    this.#counts = counts;
    this.#http = http;
    this.#auth = auth;
  }

  /** @param calls the breaker of calls, whose state is told beside that of logins */
  standing(calls: Breaker): Pick<ServerStanding, 'lease' | 'breakers'> {
    const breakers = new Map([
      ['calls', calls.open !== undefined],
      ['logins', this.refused !== undefined],
    ]);
    return { lease: this.#lease, breakers };
  }

  get #lease(): ServerStanding['lease'] {
    const grantedMs = this.#login?.leaseMs ?? 0;
    if (grantedMs === 0) return undefined;
    return { endsUnixMs: this.#takenUnixMs + grantedMs, grantedMs };
  }

  /** Why there is no token, where the last login was refused. */
  get refused(): KleidiError | undefined {
    return this.#login === undefined ? this.#gate.open : undefined;
  }

  /**
   * Asks with the token of this session. A token that Vault refuses is replaced
   * once, because it may have been revoked or have expired while we were cut off.
   * @throws KleidiError vault-*, ciphertext-invalid
   */
  async ask(ask: Omit<Ask, 'token'>): Promise<Answer> {
    const { token } = this.#login ?? (await this.#logIn());
    try {
      return await this.#askWith(token, ask);
    } catch (thrown) {
      if (KleidiError.from(thrown).code !== 'vault-denied') throw thrown;
      if (this.#login?.token === token) {
        if (await this.#isAlive(token)) throw thrown;
        if (this.#login?.token === token) await this.#drop(token);
      }
      const again = this.#login ?? (await this.#logIn());
      return this.#askWith(again.token, ask);
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #askWith(token: string, ask: Omit<Ask, 'token'>): Promise<Answer> {
    const answer = await this.#http.ask({ ...ask, token });
    this.#proven = token;
    return answer;
  }

  /** A login whose token dies before its first use is as good as refused. */
  async #drop(token: string): Promise<void> {
    this.#login = undefined;
    clearTimeout(this.#timer);
    if (this.#proven === token) return;
    await this.#gate.run(() => Promise.reject(deadOnArrival()));
  }

  /** Tells a dead token from a policy that lacks the path. */
  #isAlive(token: string): Promise<boolean> {
    if (this.#look?.token === token) return this.#look.isAlive;
    const isAlive = askAbout(this.#http, token, loginTimeoutMs)
      .then(
        () => true,
        (thrown: unknown) => KleidiError.from(thrown).code !== 'vault-denied',
      )
      .finally(() => {
        this.#look = undefined;
      });
    this.#look = { token, isAlive };
    return isAlive;
  }

  #logIn(): Promise<Login> {
    this.#pending ??= this.#gate
      .run(() => this.#countedLogin())
      .then((fresh) => this.#take(fresh))
      .finally(() => {
        this.#pending = undefined;
      });
    return this.#pending;
  }

  /** Those that the gate lets through. */
  async #countedLogin(): Promise<Login> {
    try {
      const fresh = await login(this.#http, this.#auth, loginTimeoutMs);
      this.#counts.loggedIn('ok');
      return fresh;
    } catch (error) {
      this.#counts.loggedIn(KleidiError.from(error).code);
      throw error;
    }
  }

  #take(fresh: Login): Login {
    this.#login = fresh;
    this.#takenUnixMs = Date.now();
    clearTimeout(this.#timer);
    if (fresh.leaseMs > 0) this.#wake((fresh.leaseMs * 2) / 3);
    return fresh;
  }

  #wake(inMs: number): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    const waitMs = Math.min(Math.max(inMs, shortestMs / 2), longestTimerMs);
    this.#timer = setTimeout(() => void this.#keepAlive(), waitMs).unref();
  }

  /** Where both ways fail it tries again soon; calls go on with the old token meanwhile. */
  async #keepAlive(): Promise<void> {
    const old = this.#login;
    if (old === undefined || this.#closed) return;
    const renewed =
      old.renewable && old.leaseMs >= shortestMs ? await this.#renewed(old) : undefined;
    if (this.#login !== old) return;
    // Near its maximum, a renewed lease shrinks: then it is time for a new login.
    const whole = renewed !== undefined && renewed.leaseMs >= old.leaseMs / 2;
    if (whole) this.#take({ ...renewed, leaseMs: Math.max(renewed.leaseMs, 1) });
    else await this.#logIn().catch(() => this.#wake(Math.min(old.leaseMs / 10, 30_000)));
  }

  #renewed(old: Login): Promise<Login | undefined> {
    return renew(this.#http, old.token, loginTimeoutMs).catch(() => undefined);
  }
}

function deadOnArrival(): KleidiError {
  return new KleidiError('vault-login-failed', 'Vault refuses the token that it has just given', {
    hint: 'look at token_ttl and token_num_uses of the role, and at the clocks of the Vault servers',
  });
}
