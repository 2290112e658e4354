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
import type { Log } from '../log.ts';
import { openProvider } from '../providers/open.ts';
import type { Provider } from '../providers/provider.ts';
import { readSecret } from './credentials.ts';
import { DiskWatch } from './diskwatch.ts';
import { RetryTimer } from './retry.ts';
import type { StartMarks } from './startmarks.ts';
import { verifyToken } from './verifier.ts';

export interface KeeperParts {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly live: Live;
  readonly marks: StartMarks;
  readonly log: Log;
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
  readonly #disk: DiskWatch;
  readonly #retry = new RetryTimer(() => void this.#enqueue(() => this.#tryAgain()));
  readonly #timers: NodeJS.Timeout[] = [];
  #provider: Provider | undefined;
  #pin = '';
  #queue: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    this.#disk = new DiskWatch(parts.live, parts.log);
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
      await job().catch((error: unknown) => this.#fail(KleidiError.from(error)));
      this.#parts.changed();
    });
    return this.#queue;
  }

  #every(intervalMs: number, job: () => Promise<void>): void {
    this.#timers.push(setInterval(() => void this.#enqueue(job), intervalMs));
  }

  /** After three crashes, Status answers at once and a child is asked afterwards. */
  async #first(): Promise<void> {
    const { marks } = this.#parts;
    if (!marks.tooMany) return this.#open();
    this.#fail(crashedAtStart(marks.diedIn));
    this.#retry.scheduleIn(0);
  }

  async #open(): Promise<void> {
    const { config, live, marks } = this.#parts;
    try {
      const ring = await readRing(config.ring);
      this.#provider ??= await this.#openProvider(ring);
      live.serve(await this.#keyringOf(ring, this.#provider));
      this.#retry.reset();
      this.#told('serving');
    } catch (thrown) {
      marks.enter('ready');
      const error = KleidiError.from(thrown);
      this.#fail(error);
      await this.#closeProvider();
      if (error.code === 'module-crashed') this.#retry.scheduleIn(crashedRetryMs);
      else this.#retry.schedule();
    }
  }

  async #openProvider(ring: Ring): Promise<Provider> {
    const { config, env, marks } = this.#parts;
    this.#pin = await readSecret(config.pkcs11.pin, env);
    if (marks.tooMany) await this.#askChildFirst(ring);
    return openProvider(config, this.#pin, {
      onStage: (stage) => marks.enter(stage),
      onBroken: (error) => this.#broken(error),
    });
  }

  /** Not by opening the token alone: the module may fail only where a KEK is used. */
  async #askChildFirst(ring: Ring): Promise<void> {
    const { config, marks } = this.#parts;
    const fps = ring.keks.map((kek) => kek.fp);
    const verdict = await verifyToken(config, this.#pin, fps);
    if (verdict.kind !== 'unusable') return marks.clear();
    marks.renew();
    const { error } = verdict;
    throw error.code === 'module-crashed' ? crashedAtStart(marks.diedIn) : error;
  }

  async #keyringOf(ring: Ring, provider: Provider): Promise<Keyring> {
    // What is in use stays loaded until the new keyring has taken its place.
    const inUse = this.#parts.live.keyring?.ring.keks ?? [];
    const wanted = new Set([...inUse, ...ring.keks].map((kek) => kek.fp));
    return new Keyring(ring, [{ provider, verified: await provider.load([...wanted]) }]);
  }

  /** Runs after a failure, and while this host lacks a KEK of the ring. */
  async #tryAgain(): Promise<void> {
    const { keyring } = this.#parts.live;
    if (this.#provider === undefined || keyring === undefined) return this.#open();
    if (await this.#appearsAfresh(keyring)) return this.#reopen('KEKs that were missing are there');
    this.#retry.schedule();
  }

  async #followRing(): Promise<void> {
    const { config, live, log } = this.#parts;
    const inUse = live.keyring?.ring;
    if (inUse === undefined || this.#provider === undefined) return this.#open();
    try {
      const ring = await readRing(config.ring);
      requireSuccessor(ring, inUse);
      await this.#adopt(ring, this.#provider);
      live.notice('ring', undefined);
    } catch (error) {
      const { message, hint, code } = KleidiError.from(error);
      live.notice('ring', `${message}; serving on with generation ${inUse.generation}`);
      log.error({ event: 'ring-refused', code, hint }, message);
    }
  }

  /** Swaps the new ring in, or restarts for a KEK that only a new process can see. */
  async #adopt(ring: Ring, provider: Provider): Promise<void> {
    const { config, live } = this.#parts;
    const next = await this.#keyringOf(ring, provider);
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
    live.serve(next);
    this.#told('ring-changed');
  }

  /** Whether a new process would see what this one lacks. */
  async #appearsAfresh(keyring: Keyring): Promise<boolean> {
    const lacking = keyring.lacking().map((kek) => kek.fp);
    if (lacking.length === 0) return false;
    return (await verifyToken(this.#parts.config, this.#pin, lacking)).kind === 'whole';
  }

  async #reopen(reason: string): Promise<void> {
    const { supervised, log } = this.#parts;
    if (this.#disk.damaged) return;
    if (supervised) return this.#parts.restart(reason);
    log.info({ event: 'token-reopened' }, `opening the token again: ${reason}`);
    await this.#closeProvider();
    return this.#open();
  }

  async #selfTest(): Promise<void> {
    const { live } = this.#parts;
    if (this.#provider === undefined || live.keyring === undefined) return;
    await this.#provider.selfTest();
    live.selfTestMs = Date.now();
    // Also ends a failure that an earlier self-test has found.
    live.serve(live.keyring);
  }

  async #verify(): Promise<void> {
    const { keyring } = this.#parts.live;
    if (this.#provider === undefined || keyring === undefined) return;
    const held = [...keyring.verified()];
    this.#disk.judge(await verifyToken(this.#parts.config, this.#pin, held));
  }

  /** The module cannot be used by this process any more. */
  #broken(error: KleidiError): void {
    const { marks, supervised } = this.#parts;
    this.#fail(error);
    if (supervised && !marks.tooMany) {
      marks.die();
      // process.exit would wait for a stuck call; this does not.
      process.kill(process.pid, 'SIGKILL');
    }
    const broken = this.#provider;
    void this.#enqueue(async () => {
      // A job before this one may have opened the token again already.
      if (this.#provider !== broken) return;
      await this.#closeProvider();
      this.#retry.schedule();
    });
  }

  async #closeProvider(): Promise<void> {
    const provider = this.#provider;
    this.#provider = undefined;
    await provider?.close();
  }

  #fail(error: KleidiError): void {
    const { live, log } = this.#parts;
    const before = live.health();
    live.fail(error);
    if (before.kind === 'failed' && before.error.message === error.message) return;
    log.error({ event: 'not-serving', code: error.code, hint: error.hint }, error.message);
  }

  #told(event: 'serving' | 'ring-changed'): void {
    const { live, log } = this.#parts;
    const { keyId, ring, lacking, canWrite } = summary(live.requireKeyring());
    if (lacking.length > 0) this.#retry.schedule();
    const level = canWrite && lacking.length === 0 ? 'info' : 'warn';
    const text = canWrite ? 'serving' : 'not serving: no write KEK here';
    const { generation, keks } = ring;
    log[level]({ event, ring: ring.ring, generation, keyId, keks: keks.length, lacking }, text);
  }
}

function summary(keyring: Keyring) {
  const lacking = keyring.lacking().map((kek) => kek.fp);
  return { keyId: keyring.keyId, ring: keyring.ring, lacking, canWrite: keyring.canWrite };
}

function crashedAtStart(stage: string | undefined): KleidiError {
  const where = stage === undefined ? 'while running' : `in ${stage}`;
  const text = `the PKCS#11 module has ended kleidi three times within a minute, ${where}`;
  return new KleidiError('module-crashed', text, {
    stage,
    hint: 'token or module is damaged: restore the token from its recovery; kleidi tries again every 30 s',
  });
}
