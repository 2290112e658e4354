// Walks the steps of a command: the Nth run is killed right before its Nth step
// that changes a file, until one run comes to its end.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from './folder.ts';
import type { Result } from './kleidi.ts';

const source = fileURLToPath(new URL('killatstep.c', import.meta.url));
/** No command has as many; a run that never ends would be a fault of the test. */
const maxSteps = 200;

export class KillAtStep {
  readonly #library: string;

  constructor() {
    this.#library = join(temporaryFolder(), 'killatstep.so');
    const flags = ['-shared', '-fPIC', '-O1', '-Wall', '-Wextra'];
    execFileSync('cc', [...flags, '-o', this.#library, source, '-ldl']);
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
  ): Promise<{ readonly steps: number; readonly last: Result }> {
    for (let step = 1; step <= maxSteps; step += 1) {
      const last = await run({
        LD_PRELOAD: this.#library,
        KLEIDI_KILL_WORD: word,
        KLEIDI_KILL_STEP: String(step),
      });
      if (last.signal !== 'SIGKILL') return { steps: step - 1, last };
      await killed(step);
    }
    throw new Error(`${word} has more than ${maxSteps} steps`);
  }
}
