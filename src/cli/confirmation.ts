// Asks a person to type what is about to be lost. Where nobody is there to be
// asked, the answer is no.
import { createInterface } from 'node:readline/promises';
import { KleidiError } from '../errors.ts';
import { usage } from './verb.ts';

/** @throws KleidiError usage where standard input is no terminal, refused where another text is typed */
export async function requireTyped(text: string, consequence: string): Promise<void> {
  if (!process.stdin.isTTY) throw usage(`${consequence}: confirm with --yes`);
  const asked = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await asked.question(`${consequence}.\nType ${text} to go on: `);
    if (answer.trim() === text) return;
  } finally {
    asked.close();
  }
  throw new KleidiError('refused', 'not confirmed, nothing was changed', {
    hint: 'type it exactly',
  });
}
