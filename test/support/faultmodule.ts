// The fault-injecting PKCS#11 module, built once per test file, its plan, and
// what it has seen. faultmodule.c says how a plan is written.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KleidiError } from '../../src/errors.ts';
import { writeKekOf } from '../../src/keyring/ring.ts';
import { ProviderCounts } from '../../src/providers/counts.ts';
import { Pkcs11Provider } from '../../src/providers/pkcs11/pkcs11.ts';
import type { Pkcs11Settings } from '../../src/providers/pkcs11/settings.ts';
import { ModuleThreads } from '../../src/providers/pkcs11/thread.ts';
import { firstModule } from '../../src/softhsm.ts';
import { temporaryFolder } from './folder.ts';
import type { TestHost } from './host.ts';

const source = fileURLToPath(new URL('faultmodule.c', import.meta.url));
const includes = fileURLToPath(
  new URL('../../node_modules/pkcs11js/includes/pkcs11', import.meta.url),
);

/** One wrapped call, as the module has traced it. */
export interface Call {
  readonly pid: number;
  readonly thread: number;
  /** Whether the call was made in the thread of the event loop. */
  readonly isMainThread: boolean;
  readonly name: string;
  /** What else the line says: `rv`, `bytes`, `tagBits`, `iv`. */
  readonly details: ReadonlyMap<string, string>;
}

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
    const flags = ['-shared', '-fPIC', '-O1', '-Wall', '-Wextra', '-I', includes];
    execFileSync('cc', [...flags, '-o', this.path, source, '-ldl', '-lpthread']);
  }

  /** From now on these faults, and no others. */
  plan(...lines: string[]): void {
    writeFileSync(`${this.#plan}.new`, lines.map((line) => `${line}\n`).join(''));
    renameSync(`${this.#plan}.new`, this.#plan);
  }

  /** How often the function was called so far, in all processes. */
  calls(name: string): number {
    return this.called(name).length;
  }

  /** The calls of this function so far, in all processes. */
  called(name: string): Call[] {
    return this.allCalls().filter((call) => call.name === name);
  }

  allCalls(): Call[] {
    return this.trace().map(parseCall);
  }

  trace(): string[] {
    return existsSync(this.#trace) ? readFileSync(this.#trace, 'utf8').trim().split('\n') : [];
  }

  forgetTrace(): void {
    rmSync(this.#trace, { force: true });
  }
}

function parseCall(line: string): Call {
  const [ids = '', name = '', ...rest] = line.split(' ');
  const [pid = 0, thread = 0] = ids.split('/').map(Number);
  const details = new Map<string, string>();
  for (let i = 0; i + 1 < rest.length; i += 2) details.set(rest[i] ?? '', rest[i + 1] ?? '');
  return { pid, thread, isMainThread: thread === pid, name, details };
}

const threads = new ModuleThreads();

export interface OpenedProvider {
  readonly provider: Pkcs11Provider;
  /** Of the write KEK. */
  readonly fp: string;
  readonly loaded: ReadonlySet<string>;
  /** What `onBroken` was told. */
  readonly broken: readonly KleidiError[];
  readonly counts: ProviderCounts;
  readonly stages: readonly string[];
}

/**
 * A provider in this process, on the token of the host, with the KEKs of its
 * ring loaded. A module lives once in a process: close one before the next is opened.
 */
export async function openProvider(
  host: TestHost,
  faults: FaultModule,
  changes: Partial<Pkcs11Settings> = {},
): Promise<OpenedProvider> {
  Object.assign(process.env, faults.env);
  const settings: Pkcs11Settings = {
    module: faults.path,
    token: 'kleidi',
    softhsmConf: host.softhsmConf,
    runtimeDir: join(host.folder, 'run'),
    callTimeoutMs: 2_000,
    openTimeoutMs: 10_000,
    ...changes,
  };
  const broken: KleidiError[] = [];
  const stages: string[] = [];
  const counts = new ProviderCounts();
  const hooks = {
    counts,
    onStage: (stage: string): void => void stages.push(stage),
    onBroken: (error: KleidiError): void => void broken.push(error),
  };
  // What an earlier provider has given up must be out of the module first.
  await threads.quiet(10_000);
  const provider = await Pkcs11Provider.open(settings, host.pin, hooks, threads);
  const { keks } = host.ring;
  const loaded = await provider.load(keks.map((kek) => kek.fp)).catch(async (error: unknown) => {
    // Its threads would keep this process alive.
    await provider.close();
    throw error;
  });
  const fp = writeKekOf(host.ring)?.fp ?? '';
  return { provider, fp, loaded: new Set(loaded.keys()), broken, counts, stages };
}
