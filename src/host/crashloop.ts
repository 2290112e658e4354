// Deaths of this program, remembered across restarts: a module that ends the
// process in C_Initialize or C_Login would otherwise do so for ever. Kept in the
// runtime folder, which outlives a restart but not a reboot, so that the kernel's
// monotonic clock is one clock for all processes that read it. Not fsynced.
import { constants, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readOwnFileSync } from '../readfile.ts';

const windowMs = 60_000;
const tolerated = 3;

/**
 * How the process before this one ended: `stopped` and `restart` in order, `module-broken` by
 * itself, `died` by a signal, a crash or want of memory; `none` where this is the first since boot.
 */
export type PreviousEnd = 'none' | 'stopped' | 'restart' | 'module-broken' | 'died';

const knownEnds: readonly PreviousEnd[] = ['stopped', 'restart', 'module-broken'];

interface Marks {
  /** The step of the start that was under way, or null. */
  readonly stage: string | null;
  /**
   * Starts in a row that have not come to `ready`. Counted without a window: a
   * module that hangs is killed only after TimeoutStartSec= and TimeoutStopSec=.
   */
  readonly failedStarts: number;
  /** When this program ended itself while it was serving, by the monotonic clock. */
  readonly deathsMs: readonly number[];
  /** Of this process; null while it runs. */
  readonly end: PreviousEnd | null;
}

export class CrashLoop {
  readonly #file: string;
  readonly #nowMs: () => number;
  #marks: Marks;
  #isDying = false;
  /** Where the last start died, if it did. */
  readonly diedIn: string | undefined;
  readonly previousEnd: PreviousEnd;

  /** Reads what earlier processes left. A missing folder means no memory, no error. */
  constructor(folder: string, nowMs: () => number = sinceBootMs) {
    this.#file = join(folder, 'start.json');
    this.#nowMs = nowMs;
    const { stage, failedStarts, deathsMs, end } = read(this.#file);
    this.previousEnd = end ?? 'died';
    this.diedIn = stage ?? undefined;
    this.#marks = {
      stage: null,
      failedStarts: failedStarts + (stage === null ? 0 : 1),
      deathsMs: deathsMs.filter((ms) => this.#isRecent(ms)),
      end: null,
    };
    this.#write();
  }

  /** Three starts in a row that died, or three deaths in a minute: start without the module. */
  get tooMany(): boolean {
    const { failedStarts, deathsMs } = this.#marks;
    const recent = deathsMs.filter((ms) => this.#isRecent(ms));
    return failedStarts >= tolerated || recent.length >= tolerated;
  }

  /** Names the step before it is taken; `ready` ends the dangerous part. */
  enter(stage: string): void {
    if (this.#isDying) return;
    const isReady = stage === 'ready';
    const failedStarts = isReady ? 0 : this.#marks.failedStarts;
    this.#marks = { ...this.#marks, failedStarts, stage: isReady ? null : stage };
    this.#write();
  }

  /** Counts a death that is about to come. In a stage of the start, it is a failed start too. */
  die(): void {
    this.#isDying = true;
    const deathsMs = [...this.#marks.deathsMs, this.#nowMs()];
    this.#marks = { ...this.#marks, deathsMs, end: 'module-broken' };
    this.#write();
  }

  /** An end in order is about to come. */
  end(how: 'stopped' | 'restart'): void {
    if (this.#isDying) return;
    this.#marks = { ...this.#marks, end: how };
    this.#write();
  }

  /** The crash has just been seen again, in a child: stay without the module. */
  renew(): void {
    this.#marks = { stage: null, failedStarts: tolerated, deathsMs: [], end: null };
    this.#write();
  }

  clear(): void {
    this.#marks = { stage: null, failedStarts: 0, deathsMs: [], end: null };
    this.#write();
  }

  #isRecent(ms: number): boolean {
    return Math.abs(this.#nowMs() - ms) < windowMs;
  }

  #write(): void {
    try {
      const temporary = `${this.#file}.tmp`;
      // Commands write to this folder too: nothing of theirs is opened here.
      rmSync(temporary, { force: true });
      writeFileSync(temporary, JSON.stringify(this.#marks), { mode: 0o600, flag: 'wx' });
      renameSync(`${this.#file}.tmp`, this.#file);
    } catch {
      // Outside systemd the folder may be missing: then nothing is remembered.
    }
  }
}

function sinceBootMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

function read(file: string): Marks {
  try {
    const { stage, failedStarts, deathsMs, end } = JSON.parse(
      readOwnFileSync(file, constants.O_NOFOLLOW),
    ) as Partial<Marks>;
    return {
      stage: stage ?? null,
      failedStarts: Number.isSafeInteger(failedStarts) ? (failedStarts ?? 0) : 0,
      deathsMs: (deathsMs ?? []).filter(Number.isFinite),
      end: knownEnds.find((each) => each === end) ?? null,
    };
  } catch {
    return { stage: null, failedStarts: 0, deathsMs: [], end: 'none' };
  }
}

/** process.exit would wait for a stuck call; this does not. */
export function killItself(): void {
  process.kill(process.pid, 'SIGKILL');
}
