// Crashes at start, remembered across restarts: a module that ends the process
// in C_Initialize or C_Login would otherwise do so for ever. Kept in the runtime
// folder, which outlives a restart but not a reboot. Not fsynced for that reason.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const windowMs = 60_000;
const tolerated = 3;

interface Marks {
  /** The step that was under way, or null. */
  readonly stage: string | null;
  readonly deathsMs: readonly number[];
}

export class StartMarks {
  readonly #file: string;
  #marks: Marks;
  /** Where the last start died, if it did. */
  readonly diedIn: string | undefined;

  /** Reads what earlier processes left. A missing folder means no memory, no error. */
  constructor(folder: string) {
    this.#file = join(folder, 'start.json');
    const { stage, deathsMs } = read(this.#file);
    this.diedIn = stage ?? undefined;
    const deaths = stage === null ? deathsMs : [...deathsMs, Date.now()];
    this.#marks = { stage: null, deathsMs: deaths.filter(isRecent) };
    this.#write();
  }

  /** Three deaths in a minute: start without the module. */
  get tooMany(): boolean {
    return this.#marks.deathsMs.filter(isRecent).length >= tolerated;
  }

  /** Names the step before it is taken; `ready` ends the dangerous part. */
  enter(stage: string): void {
    this.#marks = { ...this.#marks, stage: stage === 'ready' ? null : stage };
    this.#write();
  }

  /** Counts a death that is about to come. */
  die(): void {
    this.#marks = { stage: null, deathsMs: [...this.#marks.deathsMs, Date.now()] };
    this.#write();
  }

  /** The crash has just been seen again, in a child: stay without the module. */
  renew(): void {
    this.#marks = { stage: null, deathsMs: Array(tolerated).fill(Date.now()) };
    this.#write();
  }

  clear(): void {
    this.#marks = { stage: null, deathsMs: [] };
    this.#write();
  }

  #write(): void {
    try {
      writeFileSync(`${this.#file}.tmp`, JSON.stringify(this.#marks), { mode: 0o600 });
      renameSync(`${this.#file}.tmp`, this.#file);
    } catch {
      // Outside systemd the folder may be missing: then nothing is remembered.
    }
  }
}

function isRecent(ms: number): boolean {
  return Math.abs(Date.now() - ms) < windowMs;
}

function read(file: string): Marks {
  try {
    const { stage, deathsMs } = JSON.parse(readFileSync(file, 'utf8')) as Partial<Marks>;
    return { stage: stage ?? null, deathsMs: (deathsMs ?? []).filter(Number.isFinite) };
  } catch {
    return { stage: null, deathsMs: [] };
  }
}
