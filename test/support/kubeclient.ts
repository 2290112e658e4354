// kube-apiserver's own KMS v2 client: test/kube/client, built against one
// Kubernetes line, run as a child that prints one JSON object at its end.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingTool, skipReason } from './skip.ts';

const build = fileURLToPath(new URL('../kube/build', import.meta.url));

export const allLines = ['1.29', '1.31', '1.33', '1.37'] as const;
export type Line = (typeof allLines)[number];
export const oldest: Line = '1.29';
export const newest: Line = '1.37';

/** Every line in long runs, else the two ends. */
export const lines: readonly Line[] =
  process.env['KLEIDI_TEST_LONG'] === '1' ? allLines : [oldest, newest];

/** Why the client cannot run here, for `skip`; false where it can. */
export function missingKubeClient(line: Line = newest): string | false {
  const missing = missingTool('go');
  if (missing !== false) return missing;
  const built = buildLine(line);
  return 'path' in built ? false : skipReason(`kubeclient ${line}: ${built.reason}`);
}

/** Path of the binary. @throws Error where it cannot be built */
export function kubeClient(line: Line = newest): string {
  const built = buildLine(line);
  if ('path' in built) return built.path;
  throw new Error(`kubeclient ${line} cannot be built: ${built.reason}`);
}

function buildLine(line: Line): { readonly path: string } | { readonly reason: string } {
  const built = spawnSync('sh', [build, line], { stdio: ['ignore', 'pipe', 'pipe'] });
  if (built.status === 0) return { path: built.stdout.toString().trim() };
  return { reason: built.stderr.toString().trim().split('\n').at(-1) ?? 'the build failed' };
}

/** kube-apiserver's own word on each of these files: why it refuses it, or ''. */
export function validateConfigurations(line: Line, texts: readonly string[]): readonly string[] {
  const { status, stdout, stderr } = spawnSync(kubeClient(line), ['validate'], {
    input: JSON.stringify(texts),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`kubeclient validate: ${stderr}`);
  return JSON.parse(stdout) as string[];
}

export interface LoadReport {
  readonly seconds: number;
  readonly calls: Readonly<Record<string, number>>;
  readonly good: number;
  readonly failed: number;
  readonly failures: readonly {
    readonly rpc: string;
    readonly code: string;
    readonly count: number;
    /** The first error texts, each with its time since the start. */
    readonly first: readonly string[];
  }[];
  /** Decrypts that succeeded with other bytes than were sealed. */
  readonly wrong: number;
  /** Between two good replies, of any client and of each. */
  readonly longestGapMs: number;
  readonly clientGapsMs: readonly number[];
  readonly keyIds: Readonly<Record<string, number>>;
  readonly health: Readonly<Record<string, number>>;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

export interface LoadOptions {
  readonly line?: Line;
  /** Between two rounds of one client; 0: as fast as it can. */
  readonly pauseMs?: number;
  /** File of sealed seeds that are opened as well. */
  readonly seeds?: string;
}

/** N clients, each on a connection of its own, that call until they are stopped. */
export class Load {
  readonly #child: ChildProcess;
  readonly #stdout: Promise<string>;
  #stderr = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null || child.stderr === null) throw new Error('pipes are missing');
    this.#stdout = text(child.stdout);
    child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    after(() => child.kill('SIGKILL'));
  }

  /** Returns when every client has had its first answer. @throws Error after 20 s */
  static async start(socket: string, clients: number, options: LoadOptions = {}): Promise<Load> {
    const load = Load.begin(socket, clients, options);
    await load.ready();
    return load;
  }

  /** Returns at once: for a plugin that is not there yet. */
  static begin(socket: string, clients: number, options: LoadOptions = {}): Load {
    const { line = newest, pauseMs = 0, seeds } = options;
    const args = ['load', '--socket', socket, '--clients', String(clients)];
    args.push('--pause', `${pauseMs}ms`);
    if (seeds !== undefined) args.push('--seeds', seeds);
    return new Load(spawn(kubeClient(line), args, { stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  async ready(timeoutMs = 60_000): Promise<void> {
    const stderr = this.#child.stderr;
    const signal = AbortSignal.timeout(timeoutMs);
    while (stderr !== null && !this.#stderr.includes('ready')) {
      if (this.#child.exitCode !== null) break;
      await once(stderr, 'data', { signal });
    }
    if (!this.#stderr.includes('ready')) throw new Error(`load did not start: ${this.#stderr}`);
  }

  /** Lets calls in flight end, then tells what the clients saw. */
  async stop(): Promise<LoadReport> {
    this.#child.kill('SIGTERM');
    const printed = await this.#stdout;
    if (printed === '') throw new Error(`load printed nothing: ${this.#stderr}`);
    return JSON.parse(printed) as LoadReport;
  }
}

/** One line for a test's diagnostics. */
export function describeLoad(report: LoadReport): string {
  const { good, failed, wrong, longestGapMs, clientGapsMs, latencyMs } = report;
  const gaps = `longest gap ${longestGapMs.toFixed(0)} ms, of one client ${Math.max(...clientGapsMs).toFixed(0)} ms`;
  const failures = report.failures.map(({ rpc, code, count }) => `${count} ${rpc} ${code}`);
  const latency = `p50 ${latencyMs.p50} ms, p99 ${latencyMs.p99} ms, max ${latencyMs.max.toFixed(0)} ms`;
  return [`${good} good calls, ${failed} failed, ${wrong} wrong`, ...failures, gaps, latency].join(
    '; ',
  );
}
