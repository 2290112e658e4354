// A part of the support bundle: what an operator could have asked this host. A part that
// fails says so in its place and keeps none of the others from the bundle.
import { execFile } from 'node:child_process';
import { defaultConfigPath } from '../../config.ts';
import { KleidiError } from '../../errors.ts';

const timeoutMs = 60_000;
/** Of one part; of a longer one the end is kept: what is newest in a journal is last. */
const maxBytes = 2 << 20;

export interface Section {
  /** The command, or what it is. */
  readonly title: string;
  read(): Promise<string>;
}

/** What a program prints on both of its outputs, and how it ended. */
export function commandSection(program: string, ...args: readonly string[]): Section {
  return { title: [program, ...args].join(' '), read: () => outputOf(program, args) };
}

/** As `commandSection`, of this very program, with the configuration in use. */
export function ownSection(configPath: string, ...args: readonly string[]): Section {
  const [, program = ''] = process.argv;
  const words = configPath === defaultConfigPath ? args : [...args, '--config', configPath];
  const all = [...process.execArgv, program, ...words];
  return { title: ['kleidi', ...words].join(' '), read: () => outputOf(process.execPath, all) };
}

function outputOf(program: string, args: readonly string[]): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const env = { ...process.env, LC_ALL: 'C.UTF-8', NO_COLOR: '1', SYSTEMD_COLORS: '0' };
  const options = { encoding: 'utf8', timeout: timeoutMs, maxBuffer: 64 << 20, env } as const;
  execFile(program, args, options, (error, stdout, stderr) => {
    resolve(`${stdout}${stderr}${error === null ? '' : endOf(error)}`);
  });
  return promise;
}

function endOf({ code, signal }: { code?: unknown; signal?: unknown }): string {
  if (code === 'ENOENT') return '(not installed)\n';
  return signal == null ? `(exit code ${String(code)})\n` : `(ended by ${String(signal)})\n`;
}

/** Never throws. */
export async function textOf({ title, read }: Section): Promise<string> {
  const text = await read().catch((error: unknown) => `(${KleidiError.from(error).message})\n`);
  const kept =
    text.length > maxBytes ? `(the last ${maxBytes} bytes)\n${text.slice(-maxBytes)}` : text;
  return `===== ${title}\n${kept.trimEnd()}\n`;
}
