// Walks the steps of a command: the Nth run is killed right before its Nth step
// that changes a file, until one run comes to its end.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from './folder.ts';
import type { Result } from './kleidi.ts';

const source = fileURLToPath(new URL('killatstep.c', import.meta.url));
/** No command has as many; a run that never ends would be a fault of the test. */
const maxSteps = 200;

export interface WalkOptions {
  /**
   * An argument of a child whose steps count too, and that is killed with the
   * command; `run` must give the command a process group of its own.
   */
  readonly child?: string;
  /** Only each Nth step, for walks that are long. */
  readonly every?: number;
}

export class KillAtStep {
  readonly #library: string;
  readonly #count: string;

  constructor() {
    const folder = temporaryFolder();
    this.#library = join(folder, 'killatstep.so');
    this.#count = join(folder, 'count');
    const flags = ['-shared', '-fPIC', '-O1', '-Wall', '-Wextra'];
    execFileSync('cc', [...flags, '-o', this.#library, source, '-ldl']);
  }

  /** A file system without hard links. */
  withoutLinks(): NodeJS.ProcessEnv {
    return { LD_PRELOAD: this.#library, KLEIDI_NO_LINKS: '1' };
  }

  /**
   * @param word an argument that only the command's own process has
   * @param run the command, in this environment
   * @param killed what must hold after each kill
   * @returns how many steps there were, and the run that came to its end
   */
  async walk(
    word: string,
    run: (env: NodeJS.ProcessEnv) => Promise<Result>,
    killed: (step: number) => Promise<void>,
    { child, every = 1 }: WalkOptions = {},
  ): Promise<{ readonly steps: number; readonly last: Result }> {
    for (let step = 1; step <= maxSteps; step += every) {
      const last = await run({
        LD_PRELOAD: this.#library,
        KLEIDI_KILL_WORD: word,
        KLEIDI_KILL_STEP: String(step),
        ...(child === undefined ? {} : this.#countingIn(child, step)),
      });
      if (last.signal !== 'SIGKILL') return { steps: step - 1, last };
      await killed(step);
    }
    throw new Error(`${word} has more than ${maxSteps} steps`);
  }

  #countingIn(child: string, step: number): NodeJS.ProcessEnv {
    const count = Buffer.alloc(64);
    count.writeInt32LE(step);
    writeFileSync(this.#count, count);
    return { KLEIDI_KILL_CHILD: child, KLEIDI_KILL_COUNT: this.#count };
  }
}
