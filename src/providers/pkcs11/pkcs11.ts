// The provider over a PKCS#11 token: opens it, loads KEKs by fingerprint, and
// runs GCM on them. Where the module is beyond repair it reports `onBroken` once
// and refuses from then on.
import { KleidiError } from '../../errors.ts';
import type { Fingerprint, Provider } from '../provider.ts';
import { Climber, toKleidiError } from './climber.ts';
import { fingerprintBy } from './fingerprint.ts';
import * as gcm from './gcm.ts';
import { PooledLane, SynchronousLane } from './lane.ts';
import { Pkcs11Module } from './module.ts';
import { RefusedPin } from './pin.ts';
import { isFast } from './speed.ts';
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

export class Pkcs11Provider implements Provider {
  readonly kind = 'pkcs11';
  readonly alg = 0x01;
  readonly #hooks: Pkcs11Hooks;
  readonly #token: Token;
  readonly #climber: Climber;
  #measured = false;
  /** What self-tests use: the KEK that was sealed with last, as a rule the write KEK. */
  #probe: Fingerprint | undefined;

  private constructor(timeoutMs: number, hooks: Pkcs11Hooks, token: Token) {
    this.#hooks = hooks;
    this.#token = token;
    const broken = (error: KleidiError): void => void this.#climber.break(error);
    const lane = new PooledLane(token, timeoutMs, broken);
    this.#climber = new Climber(token, lane, (error) => hooks.onBroken(error));
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
      const token = await Token.open(module, access);
      return new Pkcs11Provider(settings.callTimeoutMs, hooks, token);
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
    return this.#climber.lane.mode;
  }

  async load(wanted: readonly Fingerprint[]): Promise<ReadonlySet<Fingerprint>> {
    this.#climber.requireWhole();
    this.#hooks.onStage('C_FindObjects');
    try {
      await this.#climber.find(new Set(wanted));
      this.#hooks.onStage('C_Encrypt');
      await this.#chooseProbe();
      await this.#chooseLane();
    } catch (error) {
      throw toKleidiError(error, 'the KEKs of the token cannot be listed');
    } finally {
      this.#hooks.onStage('ready');
    }
    return new Set(this.#climber.keks.keys());
  }

  async wrap(fp: Fingerprint, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
    const run = (call: gcm.GcmCall): Promise<Buffer> => gcm.encrypt(call, plaintext, aad);
    const body = await this.#climber.climb('wrap', fp, run);
    this.#probe = fp;
    return body;
  }

  unwrap(fp: Fingerprint, body: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#climber.climb('unwrap', fp, (call) => gcm.decrypt(call, body, aad));
  }

  async selfTest(writeFp?: Fingerprint): Promise<ReadonlySet<Fingerprint>> {
    if (writeFp !== undefined && this.#climber.keks.has(writeFp)) this.#probe = writeFp;
    // A module that is slow for once meets the deadline; one that hangs, twice.
    await this.#testAll().catch((error: unknown) => {
      if (!isCode(error, 'deadline')) throw error;
      return this.#testAll();
    });
    this.#climber.requireWhole();
    return new Set(this.#climber.keks.keys());
  }

  /** Leaves the module loaded where a call is stuck in it: unloading would crash. */
  async close(): Promise<void> {
    this.#climber.retire();
    if (await this.#climber.lane.close()) this.#token.module.close();
  }

  async #testAll(): Promise<void> {
    if (this.#probe !== undefined) await this.#climber.knownAnswer(this.#probe);
    for (const fp of this.#climber.keks.keys()) {
      const computed = await this.#climber.climb('self-test', fp, fingerprintBy);
      if (computed === fp) continue;
      const error = new KleidiError('token-damaged', `KEK ${fp} has become another key`);
      throw this.#climber.break(error);
    }
  }

  /** The first KEK that GCM is allowed with; an old one may have been locked in the token. */
  async #chooseProbe(): Promise<void> {
    const { keks } = this.#climber;
    if (this.#probe !== undefined && keks.has(this.#probe)) return;
    this.#probe = undefined;
    let unfit: unknown;
    for (const fp of keks.keys()) {
      try {
        await this.#climber.knownAnswer(fp);
        this.#probe = fp;
        return;
      } catch (error) {
        if (!isCode(error, 'module-unfit')) throw error;
        unfit = error;
      }
    }
    if (unfit !== undefined) throw unfit;
  }

  /** Once, with the first KEK there is, before anything is served. */
  async #chooseLane(): Promise<void> {
    const fp = this.#probe;
    if (fp === undefined || this.#measured) return;
    this.#measured = true;
    const pair = (): Promise<void> => this.#climber.knownAnswer(fp);
    // On the pool first: a module that hangs must not stop the event loop.
    if (!(await isFast('pooled', pair))) return;
    const pooled = this.#climber.lane;
    const synchronous = new SynchronousLane(this.#token);
    this.#climber.lane = synchronous;
    const isRight = await isFast('synchronous', pair);
    if (!isRight) this.#climber.lane = pooled;
    await (isRight ? pooled : synchronous).close();
  }
}

function isCode(error: unknown, code: KleidiError['code']): boolean {
  return error instanceof KleidiError && error.code === code;
}
