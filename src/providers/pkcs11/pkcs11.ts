// The provider over a PKCS#11 token: keeps KEK handles by fingerprint, runs
// GCM on them, and climbs the recovery ladder when a call fails. Where the
// module is beyond repair it reports `onBroken` once and refuses from then on.
import { randomBytes } from 'node:crypto';
import { KleidiError } from '../../errors.ts';
import type { Fingerprint, Provider } from '../provider.ts';
import { ckrOf, ckrText } from './ckr.ts';
import * as gcm from './gcm.ts';
import { copyIntoMemory, findKeks, fingerprintAlone } from './kek.ts';
import { recoveryFor } from './ladder.ts';
import { type Lane, PooledLane, SynchronousLane } from './lane.ts';
import { type Handle, Pkcs11Module } from './module.ts';
import { RefusedPin } from './pin.ts';
import { Token } from './token.ts';

export interface Pkcs11Settings {
  readonly module: string;
  readonly token: string;
  readonly softhsmConf: string;
  readonly runtimeDir: string;
  readonly callTimeoutMs: number;
}

export interface Pkcs11Hooks {
  /** The step of opening that comes next: a crash in it can be told afterwards. */
  onStage(stage: string): void;
  /** The module cannot be used by this process any more. */
  onBroken(error: KleidiError): void;
}

/** Calls slower than this leave the event loop to the thread pool. */
const synchronousBelowMs = 0.2;

export class Pkcs11Provider implements Provider {
  readonly kind = 'pkcs11';
  readonly alg = 0x01;
  readonly #settings: Pkcs11Settings;
  readonly #hooks: Pkcs11Hooks;
  readonly #token: Token;
  #keys: ReadonlyMap<Fingerprint, Handle> = new Map();
  #lane: Lane;
  #broken: KleidiError | undefined;

  private constructor(settings: Pkcs11Settings, hooks: Pkcs11Hooks, token: Token) {
    this.#settings = settings;
    this.#hooks = hooks;
    this.#token = token;
    this.#lane = new SynchronousLane(token);
  }

  /** @throws KleidiError module-*, token-*, pin-refused */
  static async open(
    settings: Pkcs11Settings,
    pin: string,
    hooks: Pkcs11Hooks,
  ): Promise<Pkcs11Provider> {
    hooks.onStage('C_Initialize');
    const module = Pkcs11Module.open(settings.module, settings.softhsmConf);
    try {
      hooks.onStage('C_Login');
      const refusedPin = new RefusedPin(settings.runtimeDir);
      const access = { label: settings.token, pin, refusedPin, writable: false };
      return new Pkcs11Provider(settings, hooks, await Token.open(module, access));
    } catch (error) {
      module.close();
      throw error;
    }
  }

  get description(): string {
    const { module, label } = this.#token;
    return `${module.description} (${module.path}), token ${label}`;
  }

  /** Whether calls run in this thread or on the thread pool, by measured speed. */
  get mode(): gcm.CallMode {
    return this.#lane.mode;
  }

  async load(wanted: readonly Fingerprint[]): Promise<ReadonlySet<Fingerprint>> {
    this.#requireWhole();
    this.#hooks.onStage('C_FindObjects');
    try {
      await this.#token.revive();
      this.#findKeys(new Set(wanted));
    } catch (error) {
      throw toKleidiError(error, 'the KEKs of the token cannot be listed');
    }
    this.#hooks.onStage('ready');
    await this.#chooseLane();
    return new Set(this.#keys.keys());
  }

  wrap(fp: Fingerprint, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#climb('wrap', fp, (call) => gcm.encrypt(call, plaintext, aad));
  }

  unwrap(fp: Fingerprint, body: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#climb('unwrap', fp, (call) => gcm.decrypt(call, body, aad));
  }

  async selfTest(): Promise<void> {
    const [first] = this.#keys.keys();
    if (first !== undefined) await this.#knownAnswer(first);
    for (const [fp, handle] of this.#keys) {
      if (this.#fingerprint(fp, handle) !== fp) {
        throw this.#break(new KleidiError('token-damaged', `KEK ${fp} has become another key`));
      }
    }
  }

  async close(): Promise<void> {
    this.#lane.close();
    this.#keys = new Map();
    this.#token.module.close();
  }

  #findKeys(wanted: ReadonlySet<Fingerprint>): void {
    const keys = new Map<Fingerprint, Handle>();
    for (const kek of findKeks(this.#token).keks) {
      if (!wanted.has(kek.fp) || keys.has(kek.fp)) continue;
      const held = this.#keys.get(kek.fp);
      const stillGood = held !== undefined && this.#isStill(kek.fp, held);
      keys.set(kek.fp, stillGood ? held : this.#bestHandle(kek));
    }
    // A copy in memory outlives its object: what is wanted and held is kept.
    for (const [fp, held] of this.#keys) {
      if (wanted.has(fp) && !keys.has(fp) && this.#isStill(fp, held)) keys.set(fp, held);
    }
    this.#keys = keys;
  }

  #bestHandle(kek: { fp: Fingerprint; handle: Handle }): Handle {
    if (!this.#token.module.isSoftHsm) return kek.handle;
    return copyIntoMemory(this.#token, kek) ?? kek.handle;
  }

  #isStill(fp: Fingerprint, handle: Handle): boolean {
    try {
      return fingerprintAlone(this.#token, handle) === fp;
    } catch {
      return false;
    }
  }

  #fingerprint(fp: Fingerprint, handle: Handle): Fingerprint {
    try {
      return fingerprintAlone(this.#token, handle);
    } catch (error) {
      throw toKleidiError(error, `the fingerprint of KEK ${fp} cannot be computed`);
    }
  }

  async #chooseLane(): Promise<void> {
    const [first] = this.#keys.keys();
    if (first === undefined) return;
    const timesMs: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const start = performance.now();
      await this.#knownAnswer(first);
      timesMs.push((performance.now() - start) / 2);
    }
    const medianMs = timesMs.sort((a, b) => a - b)[2] ?? 0;
    const wanted = medianMs < synchronousBelowMs ? 'synchronous' : 'pooled';
    if (wanted === this.#lane.mode) return;
    this.#lane.close();
    this.#lane =
      wanted === 'synchronous'
        ? new SynchronousLane(this.#token)
        : new PooledLane(this.#token, this.#settings.callTimeoutMs, (error) => this.#break(error));
  }

  async #knownAnswer(fp: Fingerprint): Promise<void> {
    const secret = randomBytes(32);
    const aad = Buffer.from('kleidi/v1 self-test');
    const body = await this.#climb('wrap', fp, (call) => gcm.encrypt(call, secret, aad));
    const call = (lent: gcm.GcmCall): Promise<Buffer> => gcm.decrypt(lent, body, aad);
    const opened = await this.#lane
      .run((session) => call(this.#call(session, fp)))
      .catch((error: unknown) => {
        throw this.#break(toKleidiError(error, 'the token cannot open what it has just sealed'));
      });
    if (opened.equals(secret)) return;
    throw this.#break(new KleidiError('module-failed', 'the token opens its own seal wrongly'));
  }

  #call(session: Handle, fp: Fingerprint): gcm.GcmCall {
    const key = this.#keys.get(fp);
    if (key === undefined) {
      throw new KleidiError('kek-missing', `KEK ${fp} is not in token ${this.#token.label}`, {
        hint: 'kleidi key list shows what the token holds',
      });
    }
    return { api: this.#token.module.api, mode: this.#lane.mode, session, key };
  }

  /** One operation, and at most one more try after what the ladder says. */
  async #climb(
    operation: 'wrap' | 'unwrap',
    fp: Fingerprint,
    run: (call: gcm.GcmCall) => Promise<Buffer>,
  ): Promise<Buffer> {
    this.#requireWhole();
    const once = (): Promise<Buffer> =>
      this.#lane.run(async (session) => run(this.#call(session, fp)));
    try {
      return await once();
    } catch (error) {
      if (error instanceof KleidiError) throw error;
      await this.#mend(operation, fp, error);
    }
    try {
      return await once();
    } catch (error) {
      if (error instanceof KleidiError) throw error;
      throw this.#break(toKleidiError(error, `${operation} failed twice`));
    }
  }

  /** Returns where a second try makes sense, throws where it does not. */
  async #mend(operation: 'wrap' | 'unwrap', fp: Fingerprint, error: unknown): Promise<void> {
    const { kind } = recoveryFor(operation, ckrOf(error));
    switch (kind) {
      case 'new-session':
        return;
      case 'find-again':
      case 'login':
        await this.#findAgain(fp);
        return;
      case 'ask-self-test':
        await this.#knownAnswer(fp);
        throw new KleidiError('ciphertext-invalid', 'the token refuses the ciphertext', {
          cause: error,
        });
      case 'unfit':
        throw new KleidiError('module-unfit', `KEK ${fp} refuses ${operation}: ${ckrText(error)}`, {
          hint: 'the attributes of the key object forbid AES-GCM: see kleidi key list',
          cause: error,
        });
      case 'broken':
        throw this.#break(toKleidiError(error, `${operation} failed`));
      default:
        kind satisfies never;
    }
  }

  /** A token that vanished for a moment shows no key until a new process opens it. */
  async #findAgain(fp: Fingerprint): Promise<void> {
    try {
      await this.#token.revive();
      this.#findKeys(new Set(this.#keys.keys()));
    } catch (error) {
      throw this.#break(toKleidiError(error, 'the token cannot be opened again'));
    }
    if (this.#keys.has(fp)) return;
    throw this.#break(new KleidiError('kek-missing', `KEK ${fp} has vanished from the token`));
  }

  #requireWhole(): void {
    if (this.#broken !== undefined) throw this.#broken;
  }

  #break(error: KleidiError): KleidiError {
    if (this.#broken === undefined) {
      this.#broken = error;
      this.#hooks.onBroken(error);
    }
    return error;
  }
}

function toKleidiError(error: unknown, what: string): KleidiError {
  if (error instanceof KleidiError) return error;
  return new KleidiError('module-failed', `${what}: ${ckrText(error)}`, {
    hint: 'check the token, its folder and the HSM; kleidi starts afresh by itself',
    cause: error,
  });
}
