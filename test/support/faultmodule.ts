// The fault-injecting PKCS#11 module, built once per test file, and its plan.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { firstModule } from '../../src/modules.ts';
import { temporaryFolder } from './folder.ts';

const source = fileURLToPath(new URL('faultmodule.c', import.meta.url));
const includes = fileURLToPath(
  new URL('../../node_modules/pkcs11js/includes/pkcs11', import.meta.url),
);

export class FaultModule {
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #plan: string;
  readonly #trace: string;

  constructor() {
    const folder = temporaryFolder();
    // The name tells provision that it wraps SoftHSM.
    this.path = join(folder, 'softhsm-with-faults.so');
    this.#plan = join(folder, 'plan');
    this.#trace = join(folder, 'trace');
    this.env = {
      KLEIDI_FAULT_REAL: firstModule(),
      KLEIDI_FAULT_PLAN: this.#plan,
      KLEIDI_FAULT_TRACE: this.#trace,
    };
    execFileSync('cc', [
      '-shared',
      '-fPIC',
      '-O1',
      '-I',
      includes,
      '-o',
      this.path,
      source,
      '-ldl',
    ]);
  }

  /** From now on these faults, and no others. */
  plan(...lines: string[]): void {
    writeFileSync(this.#plan, lines.map((line) => `${line}\n`).join(''));
  }

  /** How often the function was called so far, in all processes. */
  calls(name: string): number {
    return this.trace().filter((line) => line.split(' ')[1] === name).length;
  }

  trace(): string[] {
    return existsSync(this.#trace) ? readFileSync(this.#trace, 'utf8').trim().split('\n') : [];
  }
}
