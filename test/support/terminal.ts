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

export type Answers = readonly (readonly [string, string])[];

/** @param answers what is waited for, and what is typed then */
export function atTerminal(answers: Answers, ...args: string[]): Promise<Shown> {
  return commandAtTerminal(answers, process.execPath, program, ...args);
}

/** Any command at a terminal of its own. */
export async function commandAtTerminal(answers: Answers, ...command: string[]): Promise<Shown> {
  const args = [script, JSON.stringify(answers), ...command];
  const child = spawn('python3', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const shown = await text(child.stdout);
  return { exitCode: await ended, shown };
}
