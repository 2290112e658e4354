// Keeps `Live` true for as long as the daemon runs: opens token and ring and
// tries again, follows changes of the ring, tests itself, has the token on disk
// verified, and ends the process where the module is beyond repair.
import type { Config } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { Keyring } from '../keyring/keyring.ts';
import type { Ring } from '../keyring/ring.ts';
import { readRing } from '../keyring/ringfile.ts';
import { requireSuccessor } from '../keyring/transitions.ts';
import type { Live } from '../kms/live.ts';
import { Opening } from './opening.ts';
import { Providers } from './providers.ts';
import type { Report } from './report.ts';
import { RetryTimer } from './retry.ts';
import type { StartMarks } from './startmarks.ts';

export interface KeeperParts {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly live: Live;
  readonly marks: StartMarks;
  readonly report: Report;
  /** Somebody starts this program again and holds its socket meanwhile. */
  readonly supervised: boolean;
  /** Drains and ends the process, so that the supervisor starts it afresh. */
  restart(reason: string): void;
  /** Something that people see may have changed. */
  changed(): void;
}

const crashedRetryMs = 30_000;

export class Keeper {
  readonly #parts: KeeperParts;
  readonly #opening: Opening;
  readonly #retry = new RetryTimer(() => void this.#enqueue(() => this.#tryAgain()));
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #providers = new Providers();
  #queue: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    this.#opening = new Opening(parts.config, parts.env, parts.marks);
  }

  /** Resolves after the first attempt, whether it has succeeded or not. */
  async start(): Promise<void> {
    const { selfTest, verifier } = this.#parts.config;
    await this.#enqueue(() => this.#first());
    this.#every(selfTest.intervalMs, () => this.#selfTest());
    this.#every(verifier.intervalMs, () => this.#verify());
  }

  /** The ring file has changed, or somebody says so (SIGHUP). */
  ringChanged(): void {
    void this.#enqueue(() => this.#followRing());
  }

  stop(): void {
    this.#stopped = true;
    this.#retry.cancel();
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** One job at a time. A job never rejects: how it ended is in `Live`. */
  #enqueue(job: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(async () => {
      if (this.#stopped) return;
      await job().catch((error: unknown) => this.#parts.report.failed(KleidiError.from(error)));
      this.#parts.changed();
    });
    return this.#queue;
  }

  #every(intervalMs: number, job: () => Promise<void>): void {
    this.#timers.push(setInterval(() => void this.#enqueue(job), intervalMs));
  }

  /** After three crashes, Status answers at once and a child is asked afterwards. */
  async #first(): Promise<void> {
    const crash = this.#opening.crash();
    if (crash === undefined) return this.#open();
    this.#parts.report.failed(crash);
    this.#retry.scheduleIn(0);
  }

  async #open(): Promise<void> {
    const { config, marks, report } = this.#parts;
    try {
      const ring = await readRing(config.ring);
      await this.#openFor(ring);
      const keyring = await this.#keyringOf(ring);
      this.#retry.reset();
      this.#serve('serving', keyring);
    } catch (thrown) {
      marks.enter('ready');
      const error = KleidiError.from(thrown);
      report.failed(error);
      await this.#providers.close();
      if (error.code === 'module-crashed') this.#retry.scheduleIn(crashedRetryMs);
      else this.#retry.schedule();
    }
  }

  async #keyringOf(ring: Ring): Promise<Keyring> {
    // What is in use stays loaded until the new keyring has taken its place.
    const inUse = this.#parts.live.keyring?.ring.keks ?? [];
    const loaded = await this.#providers.load([...inUse, ...ring.keks]);
    return new Keyring(ring, loaded, this.#providers.failed);
  }

  /** Runs after a failure, and while this host lacks a KEK of the ring. */
  async #tryAgain(): Promise<void> {
    const { keyring } = this.#parts.live;
    const whole = this.#providers.isOpen && this.#providers.failed.size === 0;
    if (!whole || keyring === undefined) return this.#open();
    if (await this.#appearsAfresh(keyring)) return this.#reopen('KEKs that were missing are there');
    const next = await this.#keyringOf(keyring.ring);
    if (next.lacking().length < keyring.lacking().length) this.#serve('serving', next);
    else this.#retry.schedule();
  }

  async #followRing(): Promise<void> {
    const { config, live, report } = this.#parts;
    const inUse = live.keyring?.ring;
    if (inUse === undefined || !this.#providers.isOpen) return this.#open();
    try {
      const ring = await readRing(config.ring);
      requireSuccessor(ring, inUse);
      await this.#adopt(ring);
      report.ringTaken();
    } catch (error) {
      report.ringRefused(KleidiError.from(error), inUse.generation);
    }
  }

  /** Swaps the new ring in, or restarts for a KEK that only a new process can see. */
  async #adopt(ring: Ring): Promise<void> {
    const { config, live } = this.#parts;
    await this.#openFor(ring);
    const next = await this.#keyringOf(ring);
    if (await this.#appearsAfresh(next)) return this.#reopen('the ring names a new KEK');
    if (!next.canWrite && live.keyring?.canWrite === true) {
      throw new KleidiError(
        'kek-missing',
        `${config.ring} names a write KEK that this host lacks`,
        {
          hint: 'kleidi key import brings it here; kleidi key list shows what the token holds',
        },
      );
    }
    this.#serve('ring-changed', next);
  }

  /** Whether a new process would see what this one lacks. */
  async #appearsAfresh(keyring: Keyring): Promise<boolean> {
    const lacking = keyring.lacking('pkcs11').map((kek) => kek.fp);
    if (lacking.length === 0) return false;
    return (await this.#opening.verify(lacking)).kind === 'whole';
  }

  async #reopen(reason: string): Promise<void> {
    const { supervised, report } = this.#parts;
    if (report.disk.damaged) return;
    if (supervised) return this.#parts.restart(reason);
    report.reopens(reason);
    await this.#providers.close();
    return this.#open();
  }

  /** A ring may name a provider that none before it has named. */
  async #openFor(ring: Ring): Promise<void> {
    await this.#providers.open(ring, this.#opening.usual, (kind) =>
      this.#opening.open(kind, ring, (error) => this.#broken(error)),
    );
  }

  async #selfTest(): Promise<void> {
    const { live, report } = this.#parts;
    if (!this.#providers.isOpen || live.keyring === undefined) return;
    await this.#providers.selfTest(live.keyring.ring);
    report.tested(live.keyring);
  }

  async #verify(): Promise<void> {
    const { keyring } = this.#parts.live;
    if (!this.#providers.isOpen || keyring === undefined) return;
    const held = [...keyring.verified('pkcs11')];
    if (held.length === 0) return;
    this.#parts.report.disk.judge(await this.#opening.verify(held));
  }

  /** The module cannot be used by this process any more. */
  #broken(error: KleidiError): void {
    const { marks, supervised, report } = this.#parts;
    report.failed(error);
    if (supervised && !marks.tooMany) {
      report.killsItself(error);
      marks.die();
      // process.exit would wait for a stuck call; this does not.
      process.kill(process.pid, 'SIGKILL');
    }
    void this.#enqueue(async () => {
      await this.#providers.close();
      this.#retry.schedule();
    });
  }

  #serve(event: 'serving' | 'ring-changed', keyring: Keyring): void {
    this.#parts.report.serves(event, keyring);
    if (keyring.lacking().length > 0 || this.#providers.failed.size > 0) this.#retry.schedule();
  }
}
