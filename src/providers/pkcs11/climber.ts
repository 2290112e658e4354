// A call with a KEK, and the recovery ladder under it: every failure is mended
// where that makes sense, and told once where the module is beyond repair.
import { randomBytes } from 'node:crypto';
import { KleidiError } from '../../errors.ts';
import type { Fingerprint } from '../provider.ts';
import { ckrOf, ckrText } from './ckr.ts';
import * as gcm from './gcm.ts';
import { findWanted, type HeldKeks } from './held.ts';
import { type Operation, type Recovery, recoveryFor } from './ladder.ts';
import type { Lane } from './lane.ts';
import type { Handle } from './module.ts';
import type { Token } from './token.ts';

interface Failure {
  readonly kind: Recovery['kind'];
  readonly operation: Operation;
  readonly fp: Fingerprint;
  readonly keks: HeldKeks;
  readonly error: unknown;
}

const selfTestAad = Buffer.from('kleidi/v1 self-test');

export class Climber {
  readonly #token: Token;
  readonly #onBroken: (error: KleidiError) => void;
  #keks: HeldKeks = new Map();
  /** Why nothing is done any more. */
  #over: KleidiError | undefined;
  lane: Lane;

  constructor(token: Token, lane: Lane, onBroken: (error: KleidiError) => void) {
    this.#token = token;
    this.#onBroken = onBroken;
    this.lane = lane;
  }

  get keks(): HeldKeks {
    return this.#keks;
  }

  /** Throws what pkcs11js threw, or KleidiError from the login. */
  async find(wanted: ReadonlySet<Fingerprint>): Promise<void> {
    await this.#token.revive();
    this.#keks = findWanted(this.#token, wanted, this.#keks);
  }

  /** One operation, and one more try after each rung of the ladder: no rung twice. */
  async climb<T>(
    operation: Operation,
    fp: Fingerprint,
    run: (call: gcm.GcmCall) => Promise<T>,
  ): Promise<T> {
    const climbed = new Set<Recovery['kind']>();
    for (;;) {
      this.requireWhole();
      const keks = this.#keks;
      const key = this.#requireHeld(fp);
      const { api } = this.#token.module;
      try {
        return await this.lane.run((session, mode) => run({ api, mode, session, key }));
      } catch (error) {
        if (error instanceof KleidiError) throw error;
        this.requireWhole();
        const { kind } = recoveryFor(operation, ckrOf(error));
        if (climbed.has(kind)) throw this.#giveUp(kind, operation, error);
        climbed.add(kind);
        await this.#mend({ kind, operation, fp, keks, error });
      }
    }
  }

  /** Seals and opens a random value. */
  async knownAnswer(fp: Fingerprint): Promise<void> {
    const secret = randomBytes(32);
    const body = await this.climb('self-test', fp, (call) =>
      gcm.encrypt(call, secret, selfTestAad),
    );
    const opened = await this.climb('self-test', fp, (call) =>
      gcm.decrypt(call, body, selfTestAad),
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
  async #mend({ kind, operation, fp, keks, error }: Failure): Promise<void> {
    switch (kind) {
      case 'new-session':
        return;
      case 'find-again':
      case 'login':
        // Another call may have found them again meanwhile.
        if (this.#keks === keks) await this.#findAgain();
        return;
      case 'ask-self-test':
        return this.knownAnswer(fp);
      case 'unfit':
        throw new KleidiError('module-unfit', `KEK ${fp} refuses ${operation}: ${ckrText(error)}`, {
          hint: 'the attributes of the key object forbid AES-GCM: see kleidi key list',
          cause: error,
        });
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
  async #findAgain(): Promise<void> {
    const wanted = new Set(this.#keks.keys());
    try {
      await this.find(wanted);
    } catch (error) {
      throw this.break(toKleidiError(error, 'the token cannot be opened again'));
    }
    const lost = [...wanted].find((fp) => !this.#keks.has(fp));
    if (lost === undefined) return;
    throw this.break(new KleidiError('kek-missing', `KEK ${lost} has vanished from the token`));
  }

  #requireHeld(fp: Fingerprint): Handle {
    const key = this.#keks.get(fp);
    if (key !== undefined) return key;
    throw new KleidiError('kek-missing', `KEK ${fp} is not in token ${this.#token.label}`, {
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
