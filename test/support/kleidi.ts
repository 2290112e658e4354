// Runs the built program as an operator would: as a child, by its exit code,
// output and errors.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { recordRun } from './ran.ts';

/** The built program, or the one that the coverage run names. */
export const program =
  process.env['KLEIDI_TEST_PROGRAM'] ??
  fileURLToPath(new URL('../../dist/kleidi.js', import.meta.url));

/** What a unit gives Node. */
export function nodeFlagsIn(unit: string): string[] {
  const [, flags = ''] = /^ExecStart=\S+\/bin\/node ((?:--\S+ )*)/m.exec(unit) ?? [];
  return flags.split(' ').filter((flag) => flag.length > 0);
}

/** A daemon runs as the unit runs it. */
export const serveFlags = nodeFlagsIn(
  readFileSync(new URL('../../systemd/kleidi.service', import.meta.url), 'utf8'),
);

export interface Result {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  /** The command leads a process group, so that it can be killed with its children. */
  readonly ownGroup?: boolean;
  /** Called with the running child, for tests that kill it. */
  readonly started?: (child: ChildProcess) => void;
}

export async function kleidi(args: readonly string[], options: RunOptions = {}): Promise<Result> {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: options.ownGroup === true,
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  options.started?.(child);
  const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once('close', (code, signal) => resolve([code, signal]));
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [exitCode, signal] = await ended;
  recordRun(args, exitCode);
  return { exitCode, signal, stdout, stderr };
}
