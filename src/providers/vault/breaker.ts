// Circuit breaker: while Vault is away, calls fail at once instead of each waiting
// for its timeout, and one call at a time tries whether it is back. Only for what
// another attempt may mend; a refusal of one request never opens it.
import { KleidiError } from '../../errors.ts';

const threshold = 3;
const firstMs = 250;
const longestMs = 5_000;

export class Breaker {
  #failures = 0;
  #openUntilMs = 0;
  #waitMs = firstMs;
  #trial = false;
  #last: KleidiError | undefined;

  /** The failure for which it stands open, for Status and the journal. */
  get open(): KleidiError | undefined {
    return this.#failures >= threshold ? this.#last : undefined;
  }

  /** @throws KleidiError what `work` throws, or at once what opened the breaker */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const standing = this.open;
    if (standing !== undefined && (this.#trial || Date.now() < this.#openUntilMs)) throw standing;
    this.#trial = standing !== undefined;
    try {
      const result = await work();
      this.#close();
      return result;
    } catch (thrown) {
      const error = KleidiError.from(thrown);
      if (isOutage(error)) this.#count(error);
      else this.#close();
      throw error;
    } finally {
      this.#trial = false;
    }
  }

  #close(): void {
    this.#failures = 0;
    this.#waitMs = firstMs;
    this.#last = undefined;
  }

  #count(error: KleidiError): void {
    this.#failures += 1;
    this.#last = error;
    if (this.#failures < threshold) return;
    // Jitter: the hosts of a cluster must not come back in step.
    this.#openUntilMs = Date.now() + this.#waitMs * (0.5 + Math.random());
    this.#waitMs = Math.min(this.#waitMs * 2, longestMs);
  }
}

/** What another attempt may mend. */
export function isOutage({ code }: KleidiError): boolean {
  return code === 'vault-unreachable' || code === 'vault-sealed' || code === 'vault-throttled';
}
