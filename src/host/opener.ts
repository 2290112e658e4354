// Opener providers at start and after a failure. For the token each dangerous step is marked
// before it is taken; after three crashes within a minute a child process is
// asked first, so that the daemon stays up and Status can say why.
import type { Config } from '../config.ts';
import { KleidiError } from '../errors.ts';
import type { Ring } from '../keyring/ring.ts';
import type { ProviderCounts } from '../providers/counts.ts';
import { daemonSettings, openProvider, openVault, pinReference } from '../providers/open.ts';
import { ModuleThreads } from '../providers/pkcs11/thread.ts';
import type { KekIdentity, Provider, ProviderKind, TokenKind } from '../providers/provider.ts';
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
  /** A module of its own each: where one hangs, the other can still be opened anew. */
  readonly #threads: Readonly<Record<TokenKind, ModuleThreads>>;
  readonly #counts: ProviderCounts;
  readonly #pins = new Map<TokenKind, string>();
  #hasAnswered = false;

  constructor({ config, env, marks, threads, counts }: OpenerParts) {
    this.#threads = { pkcs11: threads, tpm: new ModuleThreads() };
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
    if (kind !== 'vault') return this.#openToken(kind, ring, onBroken);
    const secret = (reference: string) => readSecret(reference, this.#env);
    return openVault(this.#config, secret, this.#counts);
  }

  async #openToken(
    kind: TokenKind,
    ring: Ring,
    onBroken: (error: KleidiError) => void,
  ): Promise<Provider> {
    const pin = await readSecret(pinReference(this.#config, kind), this.#env);
    this.#pins.set(kind, pin);
    if (this.#marks.tooMany) await this.#askChildFirst(kind, ring);
    const hooks = {
      counts: this.#counts,
      onStage: (stage: string): void => this.#marks.enter(stageOf(kind, stage)),
      onBroken: (error: KleidiError): void => {
        onBroken(error);
        // Still here: what has failed in a stage of the start has not ended the process.
        this.#marks.enter('ready');
      },
    };
    try {
      const settings = await daemonSettings(this.#config, kind);
      return await openProvider(settings, pin, hooks, this.#threads[kind]);
    } catch (error) {
      // It has failed and not died: this start is no crash.
      this.#marks.enter('ready');
      throw error;
    }
  }

  /** Whether no call is out in a module, or all come back soon: process.exit would wait. */
  async isQuiet(): Promise<boolean> {
    const { callTimeoutMs } = this.#config.limits;
    const threads = Object.values(this.#threads);
    const quiet = await Promise.all(threads.map((each) => each.quiet(callTimeoutMs)));
    return quiet.every((each) => each);
  }

  /** What a new process sees, and with the PIN that it would be given. */
  async verify(kind: TokenKind, keks: readonly KekIdentity[]): Promise<Verdict> {
    const reference = pinReference(this.#config, kind);
    const pin = await readSecret(reference, this.#env).catch(() => undefined);
    if (pin !== undefined) this.#pins.set(kind, pin);
    return verifyToken(this.#config, kind, this.#pins.get(kind) ?? '', keks);
  }

  /** Whether the last start may have died in this module. */
  #isNamedFor(kind: TokenKind): boolean {
    const { diedIn } = this.#marks;
    return diedIn === undefined || diedIn.endsWith(ofTpm) === (kind === 'tpm');
  }

  /** Not by opening the token alone: the module may fail only where a KEK is used. */
  async #askChildFirst(kind: TokenKind, ring: Ring): Promise<void> {
    // Not at the first attempt, which READY waits for.
    const isFirst = !this.#hasAnswered;
    this.#hasAnswered = true;
    if (isFirst) throw crashedAtStart(this.#marks.diedIn);
    const verdict = await this.verify(
      kind,
      ring.keks.filter((kek) => kek.provider === kind),
    );
    if (verdict.kind === 'whole' || verdict.kind === 'missing') {
      // Deaths in the other module are still to be asked about.
      if (this.#isNamedFor(kind)) this.#marks.clear();
      return;
    }
    this.#marks.renew();
    const isCrash = verdict.kind === 'unchecked' || verdict.error.code === 'module-crashed';
    throw isCrash ? crashedAtStart(this.#marks.diedIn) : verdict.error;
  }
}

const ofTpm = " of the TPM's module";

/** A crash in it is told afterwards by this name. */
function stageOf(kind: TokenKind, stage: string): string {
  return kind === 'tpm' && stage !== 'ready' ? stage + ofTpm : stage;
}

function crashedAtStart(stage: string | undefined): KleidiError {
  const where = stage === undefined ? 'while running' : `in ${stage}`;
  const text = `the PKCS#11 module has ended kleidi three times, ${where}`;
  return new KleidiError('module-crashed', text, {
    stage,
    hint: 'token or module is damaged: restore the token from its recovery; kleidi tries again by itself, at intervals of up to 30 s',
  });
}
