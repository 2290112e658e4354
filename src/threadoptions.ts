// How a token thread is begun, by load.ts before the program is loaded and by thread.ts after.
// Imports nothing: it becomes part of both.
import type { WorkerOptions } from 'node:worker_threads';

/** @param program URL of the file beside which its packages are */
export function threadOptions(program: string): WorkerOptions {
  return {
    workerData: { program },
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 48, maxYoungGenerationSizeMb: 4 },
  };
}

/** @param program of the text of a thread, as the built program has it */
export function textOptions(program: string): WorkerOptions {
  // Node would compile the text several times, to see whether it is TypeScript.
  return { ...threadOptions(program), eval: true, execArgv: ['--no-strip-types'] };
}
