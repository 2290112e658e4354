// The provider over a PKCS#11 token: opens it, loads KEKs by fingerprint, and
// runs GCM on them. Where the module is beyond repair it reports `onBroken` once
// and refuses from then on.
import { KleidiError } from '../../errors.ts';
import { ProviderCounts } from '../counts.ts';
import { isSameKek } from '../kekidentity.ts';
import type { Fingerprint, Provider, ProviderKind, UsableKeks } from '../provider.ts';
import type { CallMode } from './calls.ts';
import { Executor, toKleidiError } from './executor.ts';
import { usable } from './kek.ts';
import { LocalToken } from './local.ts';
import { Pkcs11Module } from './module.ts';
import { type PooledParts, PooledToken } from './pooled.ts';
import { RefusedPin } from './refusedpin.ts';
import { schemeOf } from './schemes.ts';
import { expose, type Pkcs11Settings } from './settings.ts';
import { ModuleThreads } from './thread.ts';
import { type Place, Token, type TokenAccess } from './token.ts';

export interface Pkcs11Hooks {
  readonly counts?: ProviderCounts;
  /** The step of opening that comes next: a crash in it can be told afterwards. */
  onStage(stage: string): void;
  /** The module cannot be used by this process any more. */
  onBroken(error: KleidiError): void;
}

export class Pkcs11Provider implements Provider {
  readonly kind: ProviderKind;
  readonly #settings: Pkcs11Settings;
  readonly #pin: string;
  readonly #hooks: Pkcs11Hooks;
  readonly #threads: ModuleThreads;
  readonly #executor: Executor;
  #isPlaced = false;
  /** What self-tests use: the KEK that was sealed with last, as a rule the write KEK. */
  #probe: Fingerprint | undefined;

  private constructor(
    settings: Pkcs11Settings,
    pin: string,
    hooks: Pkcs11Hooks,
    threads: ModuleThreads,
  ) {
    this.kind = settings.tpm === undefined ? 'pkcs11' : 'tpm';
    this.#threads = threads;
    this.#settings = settings;
    this.#pin = pin;
    this.#hooks = hooks;
    const { counts = new ProviderCounts() } = hooks;
    this.#executor = new Executor(settings.token, counts, (error) => hooks.onBroken(error));
  }

  /**
   * For a process that has other things to do: the module is called in threads of
   * its own, and in this one only after it was measured to be fast.
   * @throws KleidiError module-*, token-*, pin-refused
   */
  static async open(
    settings: Pkcs11Settings,
    pin: string,
    hooks: Pkcs11Hooks,
    threads: ModuleThreads,
  ): Promise<Pkcs11Provider> {
    const provider = new Pkcs11Provider(settings, pin, hooks, threads);
    provider.#executor.calls = await PooledToken.open(provider.#poolParts());
    return provider;
  }

  /** For a short-lived process that may wait for the module: all calls in this thread. */
  static async openHere(settings: Pkcs11Settings, pin: string): Promise<Pkcs11Provider> {
    const ignored = (): void => undefined;
    const hooks = { onStage: ignored, onBroken: ignored };
    const provider = new Pkcs11Provider(settings, pin, hooks, new ModuleThreads());
    provider.#isPlaced = true;
    expose(settings);
    const module = Pkcs11Module.open(settings.module, settings.softhsmConf);
    const scheme = schemeOf(settings);
    try {
      const token = await Token.open(module, provider.#access(), scheme.mechanisms);
      provider.#executor.calls = new LocalToken(token, scheme);
      return provider;
    } catch (error) {
      module.close();
      throw error;
    }
  }

  get description(): string {
    const { module, token } = this.#settings;
    return `${this.#executor.calls.description} (${module}), token ${token}`;
  }

  /** Where calls to the module run, by measured speed. */
  get mode(): CallMode {
    return this.#executor.calls.mode;
  }

  async load(wanted: readonly Fingerprint[]): Promise<UsableKeks> {
    this.#executor.requireWhole();
    this.#hooks.onStage('C_FindObjects');
    try {
      await this.#executor.find(new Set(wanted));
      this.#hooks.onStage('C_Encrypt');
      await this.#chooseProbe();
      await this.#choosePlace();
    } catch (error) {
      throw toKleidiError(error, 'the KEKs of the token cannot be listed');
    } finally {
      this.#hooks.onStage('ready');
    }
    return usable(this.#executor.keks);
  }

  async wrap(fp: Fingerprint, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
    const body = await this.#executor.run('wrap', fp, (calls, kek) =>
      calls.seal(kek, plaintext, aad),
    );
    this.#probe = fp;
    return body;
  }

  unwrap(fp: Fingerprint, body: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#executor.run('unwrap', fp, (calls, kek) => calls.unseal(kek, body, aad));
  }

  async selfTest(writeFp?: Fingerprint): Promise<UsableKeks> {
    if (writeFp !== undefined && this.#executor.keks.has(writeFp)) this.#probe = writeFp;
    // A module that is slow for once meets the deadline; one that hangs, twice.
    await this.#testAll().catch((error: unknown) => {
      if (!isCode(error, 'deadline')) throw error;
      return this.#testAll();
    });
    this.#executor.requireWhole();
    return usable(this.#executor.keks);
  }

  async close(): Promise<void> {
    this.#executor.retire();
    await this.#executor.calls.close();
  }

  async #testAll(): Promise<void> {
    if (this.#probe !== undefined) await this.#executor.roundTrip(this.#probe);
    for (const kek of this.#executor.keks.values()) {
      const computed = await this.#executor.run('self-test', kek.fp, (calls, kek) =>
        calls.identify(kek),
      );
      if (isSameKek(computed, kek)) continue;
      const error = new KleidiError('token-damaged', `KEK ${kek.fp} has become another key`);
      throw this.#executor.break(error);
    }
  }

  /** The first KEK that GCM is allowed with; an old one may have been locked in the token. */
  async #chooseProbe(): Promise<void> {
    const { keks } = this.#executor;
    if (this.#probe !== undefined && keks.has(this.#probe)) return;
    this.#probe = undefined;
    let unfit: unknown;
    for (const fp of keks.keys()) {
      try {
        await this.#executor.roundTrip(fp);
        this.#probe = fp;
        return;
      } catch (error) {
        if (!isCode(error, 'module-unsupported')) throw error;
        unfit = error;
      }
    }
    if (unfit !== undefined) throw unfit;
  }

  /** Once, with the first KEK there is, before anything is served. */
  async #choosePlace(): Promise<void> {
    const { calls, keks } = this.#executor;
    const kek = this.#probe === undefined ? undefined : keks.get(this.#probe);
    if (kek === undefined || this.#isPlaced || !(calls instanceof PooledToken)) return;
    this.#isPlaced = true;
    if (!(await calls.isFast(kek))) return;
    // Slot, sessions, keys and login are those of the process: nothing is opened twice.
    this.#executor.calls = this.#here(calls.place);
    // Nobody waits for the thread's end: whether it comes is watched there.
    void calls.leave();
  }

  #here(place: Place): LocalToken {
    const { module: path, softhsmConf } = this.#settings;
    const module = Pkcs11Module.open(path, softhsmConf);
    const token = Token.at(module, this.#access(), place);
    return new LocalToken(token, schemeOf(this.#settings), () => this.#moveToThreads(token));
  }

  /** What was fast is not any more. No call is under way here: each ends before the next. */
  #moveToThreads(token: Token): void {
    const { module, place } = token;
    this.#executor.calls = PooledToken.at(this.#poolParts(), place, module.description);
  }

  #poolParts(): PooledParts {
    return {
      settings: this.#settings,
      pin: this.#pin,
      threads: this.#threads,
      onStage: (stage) => this.#hooks.onStage(stage),
      onStuck: (error) => void this.#executor.break(error),
    };
  }

  #access(): TokenAccess {
    const { token: label, runtimeDir } = this.#settings;
    return { label, pin: this.#pin, refusedPin: new RefusedPin(runtimeDir), writable: false };
  }
}

function isCode(error: unknown, code: KleidiError['code']): boolean {
  return error instanceof KleidiError && error.code === code;
}
