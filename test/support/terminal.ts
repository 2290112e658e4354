// The program at a terminal, with a person who types.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { program } from './kleidi.ts';

const script = fileURLToPath(new URL('terminal.py', import.meta.url));

export interface Shown {
  readonly exitCode: number | null;
  /** All that the terminal has shown, what was typed and echoed included. */
  readonly shown: string;
}

/** @param answers what is waited for, and what is typed then */
export async function atTerminal(
  answers: readonly (readonly [string, string])[],
  ...args: string[]
): Promise<Shown> {
  const command = [script, JSON.stringify(answers), process.execPath, program, ...args];
  const child = spawn('python3', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const shown = await text(child.stdout);
  return { exitCode: await ended, shown };
}
