// The passphrase of the recovery key: typed unseen at a terminal, or read from
// a file descriptor. Never an argument or a variable, which others can see.
import { createReadStream } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { KleidiError } from '../errors.ts';
import { askSecret, isAnswerable } from './ask.ts';
import { usage } from './verb.ts';

/** Of a key that is kept for years and decides over all data. */
const leastBytes = 12;
const mostBytes = 1024;

/** For a new key: twice at a terminal. The caller wipes it. @throws KleidiError refused, usage */
export async function newPassphrase(fd: string | undefined): Promise<Buffer> {
  const first = await readPassphrase(fd);
  requireGood(first);
  if (fd !== undefined) return first;
  const second = await askSecret('the same passphrase again: ');
  const isSame = first.equals(second);
  second.fill(0);
  if (isSame) return first;
  first.fill(0);
  throw new KleidiError('refused', 'the two passphrases differ; nothing was written', {
    hint: 'run the command again',
  });
}

/** The caller wipes it. @throws KleidiError usage, file-failed */
export async function readPassphrase(fd: string | undefined): Promise<Buffer> {
  if (fd !== undefined) return readLineOf(fd);
  if (isAnswerable()) return askSecret('passphrase of the recovery key: ');
  throw usage('there is no terminal to ask for the passphrase: name --passphrase-fd N');
}

async function readLineOf(fd: string): Promise<Buffer> {
  if (!/^[0-9]{1,4}$/.test(fd)) throw usage(`--passphrase-fd ${fd} is not a number`);
  try {
    const all = await buffer(createReadStream('', { fd: Number(fd), autoClose: false }));
    const end = all.indexOf('\n');
    return end === -1 ? all : all.subarray(0, end);
  } catch (cause) {
    throw new KleidiError('file-failed', `file descriptor ${fd} cannot be read`, {
      hint: 'open it for the command, for example: 3< FILE',
      cause,
    });
  }
}

function requireGood(passphrase: Buffer): void {
  if (passphrase.length >= leastBytes && passphrase.length <= mostBytes) return;
  throw new KleidiError(
    'refused',
    `the passphrase is not of ${leastBytes} to ${mostBytes} bytes; nothing was written`,
    { hint: 'six random words are easy to write down and hard to guess' },
  );
}
