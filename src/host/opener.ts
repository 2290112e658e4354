// Opener providers at start and after a failure. For the token each dangerous step is marked
// before it is taken; after three crashes within a minute a child process is
// asked first, so that the daemon stays up and Status can say why.
import type { Config } from '../config.ts';
import { KleidiError } from '../errors.ts';
import type { Ring } from '../keyring/ring.ts';
import type { ProviderCounts } from '../providers/counts.ts';
import { openProvider, openVault } from '../providers/open.ts';
import type { ModuleThreads } from '../providers/pkcs11/thread.ts';
import type { KekIdentity, Provider, ProviderKind } from '../providers/provider.ts';
import type { CrashLoop } from './crashloop.ts';
import { readSecret } from './credentials.ts';
import { type Verdict, verifyToken } from './verifier.ts';

interface OpenerParts {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly marks: CrashLoop;
  /** Where a PKCS#11 module is called. */
  readonly threads: ModuleThreads;
  readonly counts: ProviderCounts;
}

export class Opener {
  readonly #config: Config;
  readonly #env: NodeJS.ProcessEnv;
  readonly #marks: CrashLoop;
  readonly #threads: ModuleThreads;
  readonly #counts: ProviderCounts;
  #pin = '';
  #hasAnswered = false;

  constructor({ config, env, marks, threads, counts }: OpenerParts) {
    this.#threads = threads;
    this.#counts = counts;
    this.#config = config;
    this.#env = env;
    this.#marks = marks;
  }

  /** What a host has that is not told by its ring yet. */
  get usual(): ProviderKind {
    return this.#config.vault.address.length > 0 ? 'vault' : 'pkcs11';
  }

  /** @throws KleidiError pin-missing, vault-*, and what the provider or the child reports */
  async open(
    kind: ProviderKind,
    ring: Ring,
    onBroken: (error: KleidiError) => void,
  ): Promise<Provider> {
    try {
      const provider = await this.#openOne(kind, ring, onBroken);
      this.#counts.opened(kind, 'ok');
      return provider;
    } catch (error) {
      this.#counts.opened(kind, KleidiError.from(error).code);
      throw error;
    }
  }

  #openOne(
    kind: ProviderKind,
    ring: Ring,
    onBroken: (error: KleidiError) => void,
  ): Promise<Provider> {
    if (kind === 'pkcs11') return this.#openToken(ring, onBroken);
    const secret = (reference: string) => readSecret(reference, this.#env);
    return openVault(this.#config, secret, this.#counts);
  }

  async #openToken(ring: Ring, onBroken: (error: KleidiError) => void): Promise<Provider> {
    this.#pin = await readSecret(this.#config.pkcs11.pin, this.#env);
    if (this.#marks.tooMany) await this.#askChildFirst(ring);
    const hooks = {
      counts: this.#counts,
      onStage: (stage: string): void => this.#marks.enter(stage),
      onBroken: (error: KleidiError): void => {
        onBroken(error);
        // Still here: what has failed in a stage of the start has not ended the process.
        this.#marks.enter('ready');
      },
    };
    try {
      return await openProvider(this.#config, this.#pin, hooks, this.#threads);
    } catch (error) {
      // It has failed and not died: this start is no crash.
      this.#marks.enter('ready');
      throw error;
    }
  }

  /** Whether no call is out in the module, or all come back soon: process.exit would wait. */
  isQuiet(): Promise<boolean> {
    return this.#threads.quiet(this.#config.limits.callTimeoutMs);
  }

  /** What a new process sees, and with the PIN that it would be given. */
  async verify(keks: readonly KekIdentity[]): Promise<Verdict> {
    const pin = await readSecret(this.#config.pkcs11.pin, this.#env).catch(() => undefined);
    this.#pin = pin ?? this.#pin;
    return verifyToken(this.#config, this.#pin, keks);
  }

  /** Not by opening the token alone: the module may fail only where a KEK is used. */
  async #askChildFirst(ring: Ring): Promise<void> {
    // Not at the first attempt, which READY waits for.
    const isFirst = !this.#hasAnswered;
    this.#hasAnswered = true;
    if (isFirst) throw crashedAtStart(this.#marks.diedIn);
    const verdict = await this.verify(ring.keks.filter((kek) => kek.provider === 'pkcs11'));
    if (verdict.kind === 'whole' || verdict.kind === 'missing') return this.#marks.clear();
    this.#marks.renew();
    const isCrash = verdict.kind === 'unchecked' || verdict.error.code === 'module-crashed';
    throw isCrash ? crashedAtStart(this.#marks.diedIn) : verdict.error;
  }
}

function crashedAtStart(stage: string | undefined): KleidiError {
  const where = stage === undefined ? 'while running' : `in ${stage}`;
  const text = `the PKCS#11 module has ended kleidi three times, ${where}`;
  return new KleidiError('module-crashed', text, {
    stage,
    hint: 'token or module is damaged: restore the token from its recovery; kleidi tries again by itself, at intervals of up to 30 s',
  });
}
