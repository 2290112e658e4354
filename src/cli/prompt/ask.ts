// Answers of a person at the terminal, seen or unseen. Only the questions are
// written, by terminal.ts.
import { createInterface } from 'node:readline/promises';
import { KleidiError } from '../../errors.ts';
import { prompt } from '../../terminal.ts';

export function isAnswerable(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

export async function ask(question: string): Promise<string> {
  prompt(question);
  const lines = createInterface({ input: process.stdin, terminal: false });
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
  }
}

/**
 * Reads a line without showing it. The caller wipes it.
 * @throws KleidiError refused where the person ends it with Ctrl-C or Ctrl-D
 */
export async function askSecret(question: string): Promise<Buffer> {
  // Before the question: who answers at once would else be seen.
  process.stdin.setRawMode(true);
  try {
    prompt(question);
    return await readRawLine();
  } finally {
    process.stdin.setRawMode(false);
    process.stdin.pause();
    prompt('\n');
  }
}

async function readRawLine(): Promise<Buffer> {
  let typed: number[] = [];
  for (;;) {
    const chunk = await nextChunk();
    for (const [i, byte] of chunk.entries()) {
      if (byte === 0x03 || byte === 0x04) throw new KleidiError('refused', 'ended by the operator');
      if (byte === 0x0d || byte === 0x0a) {
        process.stdin.unshift(chunk.subarray(i + 1));
        return Buffer.from(typed);
      }
      typed = byte === 0x7f || byte === 0x08 ? withoutLast(typed) : [...typed, byte];
    }
  }
}

/** One character less, which in UTF-8 may be several bytes. */
function withoutLast(typed: readonly number[]): number[] {
  let end = typed.length - 1;
  while (end > 0 && ((typed[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return typed.slice(0, Math.max(end, 0));
}

function nextChunk(): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new KleidiError('refused', 'the terminal was closed'));
    process.stdin.once('end', ended);
    process.stdin.once('data', (chunk: Buffer) => {
      process.stdin.off('end', ended);
      process.stdin.pause();
      resolve(chunk);
    });
    process.stdin.resume();
  });
}
