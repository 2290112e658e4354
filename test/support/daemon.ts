// A running kleidi daemon: on a path of its own, or on a socket that a
// supervisor holds. Its log lines are kept as objects.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { program, serveFlags } from './kleidi.ts';

export type LogLine = Readonly<Record<string, unknown>>;

const supervisor = fileURLToPath(new URL('supervisor.py', import.meta.url));

export interface SuperviseOptions {
  readonly restartMs?: number;
  readonly env?: NodeJS.ProcessEnv;
  /** Supervisor and daemon run as this user id. */
  readonly asUser?: number;
}

export class Daemon {
  readonly process: ChildProcess;
  /** Every log line, and every other line as { text }. */
  readonly lines: LogLine[] = [];
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Of the daemon itself, also under a supervisor. */
  pid: number;

  private constructor(process: ChildProcess) {
    this.process = process;
    this.pid = process.pid ?? 0;
    this.ended = new Promise((resolve) => {
      process.once('exit', (code, signal) => resolve(signal ?? code));
    });
    for (const stream of [process.stdout, process.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => this.#keep(line));
    }
  }

  /** Listens on `socket` by itself. */
  static async start(
    configPath: string,
    socket: string,
    env: NodeJS.ProcessEnv = {},
  ): Promise<Daemon> {
    const args = [...serveFlags, program, 'serve', '--config', configPath, '--socket', socket];
    const daemon = new Daemon(spawn(process.execPath, args, { env: { ...process.env, ...env } }));
    await daemon.event('listening');
    return daemon;
  }

  /** Under a supervisor that holds the socket and starts it again `restartMs` after its end. */
  static async supervise(
    configPath: string,
    socket: string,
    { restartMs = 50, env = {}, asUser }: SuperviseOptions = {},
  ): Promise<Daemon> {
    const command = [process.execPath, ...serveFlags, program, 'serve', '--config', configPath];
    const daemon = new Daemon(
      spawn('python3', [supervisor, socket, String(restartMs), ...command], {
        env: { ...process.env, ...env },
        ...(asUser === undefined ? {} : { uid: asUser, gid: asUser }),
      }),
    );
    await daemon.event('listening');
    return daemon;
  }

  /** The next line with this event, from the `from`th line on. */
  async event(name: string, from = 0, timeoutMs = 60_000): Promise<LogLine> {
    for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(10)) {
      const found = this.lines.slice(from).find((line) => line['event'] === name);
      if (found !== undefined) return found;
      if (this.process.exitCode !== null) await sleep(50);
    }
    throw new Error(
      `no ${name} within ${timeoutMs} ms; the log: ${JSON.stringify(this.lines, null, 1)}`,
    );
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  async stop(): Promise<number | NodeJS.Signals | null> {
    if (this.process.exitCode === null) this.process.kill('SIGTERM');
    return this.ended;
  }

  #keep(line: string): void {
    try {
      const parsed = JSON.parse(line) as LogLine;
      if (parsed['event'] === 'supervisor-started') this.pid = Number(parsed['pid']);
      this.lines.push(parsed);
    } catch {
      this.lines.push({ text: line });
    }
  }
}
