// A call with a KEK, and the recovery policy under it: every failure is fixed
// where that makes sense, and told once where the module is beyond repair.
import { randomBytes } from 'node:crypto';
import { KleidiError } from '../../errors.ts';
import type { ProviderCounts } from '../counts.ts';
import { selfTestAad } from '../domainseparation.ts';
import type { Fingerprint } from '../provider.ts';
import type { TokenCalls } from './calls.ts';
import { ckrName, ckrOf, ckrText } from './ckr.ts';
import type { HeldKeks } from './kek.ts';
import { type Operation, type Recovery, recoveryFor } from './recoverypolicy.ts';
import type { FoundKek } from './scheme.ts';

interface Failure {
  readonly kind: Recovery['kind'];
  readonly operation: Operation;
  readonly fp: Fingerprint;
  readonly keks: HeldKeks;
  readonly error: unknown;
}

export class Executor {
  readonly #label: string;
  readonly #counts: ProviderCounts;
  readonly #onBroken: (error: KleidiError) => void;
  #keks: HeldKeks = new Map();
  /** Why nothing is done any more. */
  #over: KleidiError | undefined;
  #calls: TokenCalls | undefined;
  /** Searches in their order, and so logins too: a token may count wrong PINs. */
  #search: Promise<unknown> = Promise.resolve();

  /** @param label of the token */
  constructor(label: string, counts: ProviderCounts, onBroken: (error: KleidiError) => void) {
    this.#label = label;
    this.#counts = counts;
    this.#onBroken = onBroken;
  }

  /** Where calls go from now on; those under way end where they began. */
  set calls(calls: TokenCalls) {
    this.#calls = calls;
  }

  get calls(): TokenCalls {
    if (this.#calls !== undefined) return this.#calls;
    throw new KleidiError('starting', 'the token is not open yet');
  }

  get keks(): HeldKeks {
    return this.#keks;
  }

  /** Throws what pkcs11js threw, or KleidiError from the login. */
  find(wanted: ReadonlySet<Fingerprint>): Promise<void> {
    return this.#afterSearches(async () => {
      this.#keks = await this.#look(wanted, this.#keks);
    });
  }

  /** One operation, and one more try after each rung of the ladder: no rung twice. */
  async run<T>(
    operation: Operation,
    fp: Fingerprint,
    run: (calls: TokenCalls, kek: FoundKek) => Promise<T>,
  ): Promise<T> {
    const climbed = new Set<Recovery['kind']>();
    for (;;) {
      this.requireWhole();
      const keks = this.#keks;
      const kek = this.#requireHeld(fp);
      this.#counts.moduleCalled(operation);
      try {
        return await run(this.calls, kek);
      } catch (error) {
        if (error instanceof KleidiError) throw error;
        this.#counts.moduleFailed(ckrName(error));
        this.requireWhole();
        const { kind } = recoveryFor(operation, ckrOf(error));
        if (climbed.has(kind)) throw this.#giveUp(kind, operation, error);
        climbed.add(kind);
        await this.#fix({ kind, operation, fp, keks, error });
      }
    }
  }

  /** Seals and opens a random value. */
  async roundTrip(fp: Fingerprint): Promise<void> {
    const secret = randomBytes(32);
    const body = await this.run('self-test', fp, (calls, kek) =>
      calls.seal(kek, secret, selfTestAad),
    );
    const opened = await this.run('self-test', fp, (calls, kek) =>
      calls.unseal(kek, body, selfTestAad),
    );
    if (opened.equals(secret)) return;
    throw this.break(new KleidiError('module-failed', 'the token opens its own seal wrongly'));
  }

  requireWhole(): void {
    if (this.#over !== undefined) throw this.#over;
  }

  /** Told once; from now on every call is refused with this error. */
  break(error: KleidiError): KleidiError {
    if (this.#over === undefined) {
      this.#over = error;
      this.#onBroken(error);
    }
    return error;
  }

  /** As above, but nothing is wrong. */
  retire(): void {
    this.#over ??= new KleidiError('starting', 'the token has been closed');
  }

  /** Returns where another try makes sense, throws where it does not. */
  async #fix({ kind, operation, fp, keks, error }: Failure): Promise<void> {
    switch (kind) {
      case 'new-session':
        return;
      case 'find-again':
      case 'login':
        return this.#findAgain(keks);
      case 'ask-self-test':
        return this.roundTrip(fp);
      case 'unfit':
        throw new KleidiError(
          'module-unsupported',
          `KEK ${fp} refuses ${operation}: ${ckrText(error)}`,
          {
            hint: 'the attributes of the key object forbid AES-GCM: see kleidi key list',
            cause: error,
          },
        );
      case 'broken':
        throw this.break(toKleidiError(error, `${operation} failed`));
      default:
        kind satisfies never;
    }
  }

  /** The rung was climbed, and the next call failed all the same. */
  #giveUp(kind: Recovery['kind'], operation: Operation, cause: unknown): KleidiError {
    if (kind !== 'ask-self-test') {
      return this.break(toKleidiError(cause, `${operation} failed again`));
    }
    return new KleidiError('ciphertext-invalid', 'the token refuses the ciphertext', { cause });
  }

  /** A token that vanished for a moment shows no key until a new process opens it. */
  async #findAgain(keks: HeldKeks): Promise<void> {
    const wanted = new Set(keks.keys());
    try {
      await this.#afterSearches(async () => {
        this.requireWhole();
        // Another call may have found them again meanwhile.
        if (this.#keks === keks) this.#keks = await this.#look(wanted, keks);
      });
    } catch (error) {
      throw this.break(toKleidiError(error, 'the token cannot be opened again'));
    }
    const lost = [...wanted].find((fp) => !this.#keks.has(fp));
    if (lost === undefined) return;
    throw this.break(new KleidiError('kek-missing', `KEK ${lost} has vanished from the token`));
  }

  async #look(wanted: ReadonlySet<Fingerprint>, held: HeldKeks): Promise<HeldKeks> {
    this.#counts.moduleCalled('find');
    try {
      return await this.calls.find(wanted, held);
    } catch (error) {
      if (!(error instanceof KleidiError)) this.#counts.moduleFailed(ckrName(error));
      throw error;
    }
  }

  #afterSearches(search: () => Promise<void>): Promise<void> {
    const mine = this.#search.then(search);
    this.#search = mine.catch(() => undefined);
    return mine;
  }

  #requireHeld(fp: Fingerprint): FoundKek {
    const kek = this.#keks.get(fp);
    if (kek !== undefined) return kek;
    throw new KleidiError('kek-missing', `KEK ${fp} is not in token ${this.#label}`, {
      hint: 'kleidi key list shows what the token holds',
    });
  }
}

export function toKleidiError(error: unknown, what: string): KleidiError {
  if (error instanceof KleidiError) return error;
  return new KleidiError('module-failed', `${what}: ${ckrText(error)}`, {
    hint: 'check the token, its folder and the HSM; kleidi starts afresh by itself',
    cause: error,
  });
}
