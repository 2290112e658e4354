// The passphrase of the recovery key: typed unseen at a terminal, made here and shown
// there once, or read from a file descriptor. Never an argument or a variable, which
// others can see.
import { randomInt } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { KleidiError, usage } from '../../errors.ts';
import type { HybridPrivateKey } from '../../keyring/hybrid.ts';
import { openRecoveryKey } from '../../keyring/recoverykey.ts';
import { prompt } from '../../terminal.ts';
import { askSecret, isAnswerable } from './ask.ts';
import { wordList } from './wordlist.ts';

/** Of a key that is kept for years and decides over all data. */
const leastBytes = 12;
const mostBytes = 1024;
/** 66 bits, at half a second a guess. */
const generatedWords = 6;
const newQuestion = 'passphrase for the recovery key (Enter: six random words are made): ';

/** At most one of the two, as the command sees to. */
interface NewPassphraseWish {
  readonly fd: string | undefined;
  readonly isGenerated: boolean;
}

/**
 * For a new key: twice at a terminal, where an empty answer has one made. That one is
 * shown at the terminal only. The caller wipes it.
 * @throws KleidiError refused, usage
 */
export async function newPassphrase({ fd, isGenerated }: NewPassphraseWish): Promise<Buffer> {
  if (fd === undefined) return askNew(isGenerated);
  const passphrase = await readLineOf(fd);
  requireGood(passphrase);
  return passphrase;
}

async function askNew(isGenerated: boolean): Promise<Buffer> {
  requireTerminal();
  const typed = isGenerated ? Buffer.alloc(0) : await askSecret(newQuestion);
  const first = typed.length === 0 ? showGenerated() : typed;
  requireGood(first);
  const second = await askSecret('the same passphrase again: ');
  const isSame = first.equals(second);
  second.fill(0);
  if (isSame) return first;
  first.fill(0);
  throw new KleidiError('refused', 'the two passphrases differ; nothing was written', {
    hint: 'run the command again',
  });
}

/** Typed again from the paper after that, so that what is on the paper opens the key. */
function showGenerated(): Buffer {
  const words = wordList.trim().split(/\s+/);
  const chosen = Array.from({ length: generatedWords }, () => words[randomInt(words.length)]);
  const passphrase = chosen.join(' ');
  prompt(`write it on paper, it is not shown again:\n\n    ${passphrase}\n\n`);
  return Buffer.from(passphrase);
}

/** The caller wipes it. @throws KleidiError usage, file-failed */
async function readPassphrase(fd: string | undefined): Promise<Buffer> {
  if (fd !== undefined) return readLineOf(fd);
  requireTerminal();
  return askSecret('passphrase of the recovery key: ');
}

function requireTerminal(): void {
  if (isAnswerable()) return;
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
    { hint: 'six random words are easy to write down and hard to guess: --generate-passphrase' },
  );
}

/**
 * The private recovery key, by a passphrase that is wiped once it has opened it.
 * @param fd of --passphrase-fd; without, the terminal is asked
 * @throws KleidiError file-failed, refused, usage
 */
export async function openRecovery(
  file: string,
  fd: string | undefined,
): Promise<HybridPrivateKey> {
  const passphrase = await readPassphrase(fd);
  return openRecoveryKey(file, passphrase).finally(() => passphrase.fill(0));
}
