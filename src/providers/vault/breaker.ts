// Circuit breaker: while a thing fails, calls fail at once instead of each trying
// it again, and one call at a time tries whether it is fixed. One stands before
// Vault as a whole, for outages; one before the login, for refusals.
import { KleidiError } from '../../errors.ts';

interface BreakerRules {
  /** Failures in a row that open it. */
  readonly threshold: number;
  /** Wait before the first trial; doubled at each that fails. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** What another attempt may fix. Any other failure closes it, as a success does. */
  counts(error: KleidiError): boolean;
}

export class Breaker {
  readonly #rules: BreakerRules;
  #failures = 0;
  #openUntilMs = 0;
  #waitMs: number;
  #trial = false;
  #last: KleidiError | undefined;

  constructor(rules: BreakerRules) {
    this.#rules = rules;
    this.#waitMs = rules.firstMs;
  }

  /** The failure for which it stands open, for Status and the journal. */
  get open(): KleidiError | undefined {
    return this.#failures >= this.#rules.threshold ? this.#last : undefined;
  }

  /** @throws KleidiError what `work` throws, or at once what opened the breaker */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const standing = this.open;
    const isTrial = standing !== undefined;
    if (isTrial && (this.#trial || performance.now() < this.#openUntilMs)) throw standing;
    if (isTrial) this.#trial = true;
    try {
      const result = await work();
      this.#close();
      return result;
    } catch (thrown) {
      const error = KleidiError.from(thrown);
      if (this.#rules.counts(error)) this.#count(error, isTrial);
      else this.#close();
      throw error;
    } finally {
      if (isTrial) this.#trial = false;
    }
  }

  #close(): void {
    this.#failures = 0;
    this.#waitMs = this.#rules.firstMs;
    this.#last = undefined;
  }

  #count(error: KleidiError, isTrial: boolean): void {
    // Of a call from before it opened: one outage must not double the wait many times.
    if (this.open !== undefined && !isTrial) return;
    this.#failures += 1;
    this.#last = error;
    if (this.open === undefined) return;
    // Jitter: the hosts of a cluster must not come back in step.
    this.#openUntilMs = performance.now() + this.#waitMs * (0.5 + Math.random());
    this.#waitMs = Math.min(this.#waitMs * 2, this.#rules.longestMs);
  }
}

/** What another attempt may fix. */
export function isOutage({ code }: KleidiError): boolean {
  return code === 'vault-unreachable' || code === 'vault-sealed' || code === 'vault-throttled';
}
