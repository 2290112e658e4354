// A new PIN: typed unseen at a terminal, twice, or one line from a pipe. Never an argument
// or a variable, which others can see.
import { buffer } from 'node:stream/consumers';
import { KleidiError, usage } from '../../errors.ts';
import { askSecret, isAnswerable } from './ask.ts';

/** SoftHSM takes no longer one, and few tokens do. */
const mostBytes = 255;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a PIN that was pasted with more than itself
const control = /[\u0000-\u001f\u007f\ufffd]/;

/**
 * What a pipe has, with one line break at its end or none; undefined where it is empty, or
 * there is a terminal to ask at.
 * @throws KleidiError usage
 */
export async function pipedPin(): Promise<string | undefined> {
  if (process.stdin.isTTY === true) return undefined;
  const text = (await buffer(process.stdin)).toString('utf8').replace(/\r?\n$/, '');
  return text === '' ? undefined : requireGood(text);
}

/** @throws KleidiError usage, refused */
export async function askNewPin(name: string): Promise<string> {
  if (!isAnswerable())
    throw usage(`there is no terminal to ask for the ${name}, and no pipe has it`);
  const [first, second] = [
    await askSecret(`new ${name}: `),
    await askSecret(`the same ${name} again: `),
  ];
  const isSame = first.equals(second);
  const text = first.toString('utf8');
  for (const typed of [first, second]) typed.fill(0);
  if (!isSame) {
    throw new KleidiError('refused', `the two differ; nothing was changed`, {
      hint: 'run the command again',
    });
  }
  return requireGood(text);
}

function requireGood(text: string): string {
  const bytes = Buffer.byteLength(text);
  if (bytes < 1 || bytes > mostBytes) throw usage(`a PIN has 1 to ${mostBytes} bytes`);
  if (control.test(text)) throw usage('a PIN is one line of text, without control characters');
  return text;
}
