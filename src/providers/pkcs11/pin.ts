// A refused PIN is tried once, also across restarts: many tokens lock after a
// few wrong ones. What is kept is a salted scrypt of it, in the runtime folder
// (never on disk), so that a new PIN is tried at once.
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KleidiError } from '../../errors.ts';
import { writeFileAtomically } from '../../files.ts';

const derive = promisify<string, Buffer, number, Buffer>(scrypt);

export class RefusedPin {
  readonly #file: string;

  /** @param folder the runtime folder; where it is missing, nothing is remembered */
  constructor(folder: string) {
    this.#file = join(folder, 'refused-pin');
  }

  /** @throws KleidiError pin-refused where this very PIN was refused before */
  async requireUntried(pin: string, neverLocks: boolean): Promise<void> {
    if (neverLocks) return;
    const record = await readFile(this.#file, 'utf8').catch(() => undefined);
    const [salt, hash] = (record ?? '').split(':').map((part) => Buffer.from(part, 'hex'));
    if (salt === undefined || hash?.length !== 32) return;
    if (!timingSafeEqual(await derive(pin, salt, 32), hash)) return;
    throw new KleidiError(
      'pin-refused',
      'the token refused this PIN before; it is not tried again',
      {
        hint: `mend the PIN credential and restart kleidi; to try the same PIN once more: rm ${this.#file}`,
      },
    );
  }

  async remember(pin: string): Promise<void> {
    const salt = randomBytes(16);
    const hash = await derive(pin, salt, 32);
    const record = `${salt.toString('hex')}:${hash.toString('hex')}`;
    await writeFileAtomically(this.#file, record, 0o600).catch(() => undefined);
  }

  async forget(): Promise<void> {
    await rm(this.#file, { force: true });
  }
}
