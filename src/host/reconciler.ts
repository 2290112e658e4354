// Keeps `Serving` true for as long as the daemon runs. One job, `#reconcile`, brings
// what is served to what ring file and providers allow, at the start, after a
// change and after a failure alike. Others test the providers, have the token on
// disk verified, and end the process if the module is beyond repair.
import type { Config } from '../config.ts';
import type { KleidiError } from '../errors.ts';
import { Keyring } from '../keyring/keyring.ts';
import type { Ring } from '../keyring/ring.ts';
import type { Serving } from '../kms/serving.ts';
import type { ProviderCounts } from '../providers/counts.ts';
import type { ModuleThreads } from '../providers/pkcs11/thread.ts';
import type { Fingerprint, ProviderKind } from '../providers/provider.ts';
import { type RefusedRing, readCandidate, refusedForWriting } from './candidate.ts';
import { type CrashLoop, killItself } from './crashloop.ts';
import { DiskCheck } from './diskcheck.ts';
import { endOverModule } from './ending.ts';
import { Jobs, RetryTimer } from './jobs.ts';
import { replacedToken } from './machine.ts';
import { Opener } from './opener.ts';
import { Providers } from './providers.ts';
import type { Report } from './report.ts';

interface ReconcilerParts {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly serving: Serving;
  readonly marks: CrashLoop;
  /** Where a PKCS#11 module is called. */
  readonly threads: ModuleThreads;
  readonly report: Report;
  readonly counts: ProviderCounts;
  /** Somebody starts this program again and holds its socket meanwhile. */
  readonly supervised: boolean;
  /** Drains and ends the process, so that the supervisor starts it afresh. */
  restart(reason: string): void;
  /** Something that people see may have changed. */
  changed(): void;
}

export class Reconciler {
  readonly #parts: ReconcilerParts;
  readonly #opener: Opener;
  readonly #retry = new RetryTimer(() => void this.#jobs.run(() => this.#reconcile()));
  readonly #jobs: Jobs;
  readonly #providers: Providers;
  readonly #disk: DiskCheck;
  readonly #reopenedFor = new Set<Fingerprint>();
  readonly #tokenOf: string | undefined;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#tokenOf = replacedToken(parts.config.ring)?.folder;
    this.#opener = new Opener(parts);
    this.#providers = new Providers(parts.counts);
    const { counts } = parts;
    this.#disk = new DiskCheck({ opener: this.#opener, providers: this.#providers, counts });
    this.#jobs = new Jobs({
      failed: (error) => this.#jobFailed(error),
      ended: () => {
        parts.report.providers(this.#providers.allFailures());
        parts.changed();
      },
    });
  }

  /** Resolves after the first attempt, whether it has succeeded or not. */
  async start(): Promise<void> {
    const { selfTest, verifier } = this.#parts.config;
    await this.#jobs.run(() => this.#reconcile());
    this.#jobs.every(selfTest.intervalMs, () => this.#selfTest());
    this.#jobs.every(verifier.intervalMs, () => this.#verify());
  }

  /** The ring file has changed, or an operator says so (SIGHUP): no back-off counts then. */
  ringChanged(): void {
    this.#retry.reset();
    void this.#jobs.run(() => this.#reconcile());
  }

  stop(): void {
    this.#retry.cancel();
    this.#jobs.stop();
  }

  /** Ends the process where a call is stuck in the module: process.exit would wait for it. */
  async endIfStuck(): Promise<void> {
    if (!(await this.#opener.isQuiet())) killItself();
  }

  /** A keyring that is in use stays in use. */
  #jobFailed(error: KleidiError): void {
    const { serving, report } = this.#parts;
    const inUse = serving.keyring?.ring;
    if (inUse === undefined) report.failed(error);
    else report.ringRefused(error, inUse.generation, undefined);
    this.#retry.schedule();
  }

  async #reconcile(): Promise<void> {
    if (this.#isTokenReplaced()) {
      return this.#parts.restart('token and PIN were replaced: a new process gets the new ones');
    }
    const inUse = this.#parts.serving.keyring;
    const file = await readCandidate(this.#parts.config.ring, inUse);
    if (file.kind === 'good') return this.#serve(file.ring, undefined);
    if (inUse !== undefined) return this.#serve(inUse.ring, file);
    this.#parts.report.failed(file.error);
    this.#retry.schedule();
  }

  /** Not while KEKs are served from memory that the disk has lost, and somebody needs them. */
  #isTokenReplaced(): boolean {
    const { config, serving, supervised } = this.#parts;
    const last = replacedToken(config.ring);
    if (!supervised || last === undefined || last.folder === this.#tokenOf) return false;
    return last.isUnneeded || serving.keyring?.canWrite !== true;
  }

  /** Serves this ring as far as its providers allow, and tries again what is missing. */
  async #serve(ring: Ring, refused: RefusedRing | undefined): Promise<void> {
    const { serving, report, config } = this.#parts;
    const inUse = serving.keyring;
    const keks = [...(inUse?.ring.keks ?? []), ...ring.keks];
    await this.#providers.open(keks, this.#opener.usual, (kind) =>
      this.#opener.open(kind, ring, (error) => this.#broken(kind, error)),
    );
    await this.#providers.load(keks, ring === inUse?.ring ? 'incomplete' : 'all');
    await this.#providers.selfTest(ring, 'failed');
    const next = this.#keyringOf(ring);
    if (await this.#appearsAfresh(next)) return this.#reopen(next);
    if (inUse !== undefined && this.#losesWriting(inUse.ring, next)) {
      return this.#serve(inUse.ring, refusedForWriting(config.ring, ring));
    }
    if (refused === undefined) report.ringTaken();
    else report.ringRefused(refused.error, ring.generation, refused.ring);
    report.serves(next);
    this.#tryAgainIfIncomplete(next, refused);
  }

  #losesWriting(inUse: Ring, next: Keyring): boolean {
    return inUse !== next.ring && !next.canWrite && this.#keyringOf(inUse).canWrite;
  }

  #keyringOf(ring: Ring): Keyring {
    return new Keyring(ring, this.#providers.loaded(), this.#providers.failures());
  }

  #tryAgainIfIncomplete(keyring: Keyring, refused: RefusedRing | undefined): void {
    const isComplete =
      refused === undefined &&
      keyring.missing().length === 0 &&
      this.#providers.failures().size === 0;
    if (isComplete) this.#retry.reset();
    else this.#retry.schedule();
  }

  /** Whether a new process would see what this one lacks. */
  async #appearsAfresh(keyring: Keyring): Promise<boolean> {
    // Where the disk no longer holds what memory does, it could not be opened again.
    if (this.#parts.serving.tokenDamaged) return false;
    return this.#disk.seesMore(keyring, this.#reopenedFor);
  }

  /** Once for each KEK: one that stays missing afterwards is not in sight of this process. */
  async #reopen(missing: Keyring): Promise<void> {
    const { supervised, report, restart } = this.#parts;
    const reason = 'the ring names KEKs that only a new process sees';
    for (const { fp } of missing.missing()) this.#reopenedFor.add(fp);
    if (supervised) return restart(reason);
    report.reopens(reason);
    await this.#providers.close();
    return this.#reconcile();
  }

  async #selfTest(): Promise<void> {
    const { serving, report } = this.#parts;
    const ring = serving.keyring?.ring;
    if (ring === undefined) return;
    await this.#providers.selfTest(ring, 'all');
    const next = this.#keyringOf(ring);
    report.serves(next);
    report.tested();
    if (!this.#retry.isPending) this.#tryAgainIfIncomplete(next, undefined);
  }

  async #verify(): Promise<void> {
    const { serving, report } = this.#parts;
    const verdict = serving.keyring && (await this.#disk.verdict(serving.keyring));
    if (verdict !== undefined) report.disk.judge(verdict);
  }

  /** The module cannot be used by this process any more. */
  #broken(kind: ProviderKind, error: KleidiError): void {
    const { marks, supervised } = this.#parts;
    if (supervised && !marks.tooMany) {
      const isOnly = this.#providers.openKinds().every((each) => each === kind);
      endOverModule(this.#parts, error, isOnly);
      return;
    }
    void this.#jobs.run(async () => {
      await this.#providers.fail(kind, error);
      await this.#reconcile();
    });
  }
}
