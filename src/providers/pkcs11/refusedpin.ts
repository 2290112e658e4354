// A refused PIN is tried once, also across restarts: many tokens lock after a
// few wrong ones. What is kept is a salted scrypt of it, in the runtime folder
// (never on disk), so that a new PIN is tried at once.
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { access, constants, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { KleidiError } from '../../errors.ts';
import { writeFileAtomically } from '../../files.ts';
import { readForeignFile } from '../../readfile.ts';

/** Salt 16, hash 32, in hex. */
const maxRecordBytes = 97;

const derive = promisify<string, Buffer, number, Buffer>(scrypt);

export class RefusedPin {
  readonly #file: string;

  /** @param folder the runtime folder */
  constructor(folder: string) {
    this.#file = join(folder, 'refused-pin');
  }

  /**
   * Before each login at a token that may lock.
   * @throws KleidiError pin-refused where this very PIN was refused before;
   * file-failed where a refusal could not be remembered
   */
  async requireUntried(pin: string): Promise<void> {
    await this.#requireMemory();
    await this.requireNotRefused(pin);
  }

  /** Before a login that is made again. @throws KleidiError pin-refused */
  async requireNotRefused(pin: string): Promise<void> {
    if (!(await this.isRefused(pin))) return;
    throw new KleidiError(
      'pin-refused',
      'the token refused this PIN before; it is not tried again',
      {
        hint: `fix the PIN credential and restart kleidi; to try the same PIN once more: rm ${this.#file}`,
      },
    );
  }

  /** Only looks: nothing is made, nothing is tried. */
  async isRefused(pin: string): Promise<boolean> {
    const record = await readForeignFile(this.#file, maxRecordBytes).catch(() => undefined);
    const [salt, hash] = (record?.toString('latin1') ?? '')
      .split(':')
      .map((part) => Buffer.from(part, 'hex'));
    if (salt === undefined || hash?.length !== 32) return false;
    return timingSafeEqual(await derive(pin, salt, 32), hash);
  }

  async remember(pin: string): Promise<void> {
    const salt = randomBytes(16);
    const hash = await derive(pin, salt, 32);
    const record = `${salt.toString('hex')}:${hash.toString('hex')}`;
    // What a command of root's writes, the daemon must be able to read; and what the
    // owner of the token writes, by their group. The folder keeps others out.
    const owner = process.getuid?.() === 0 ? await stat(dirname(this.#file)) : undefined;
    await writeFileAtomically(this.#file, record, 0o640, owner).catch(() => undefined);
  }

  /** Retries with back-off would lock the token where nothing can be remembered. */
  async #requireMemory(): Promise<void> {
    const folder = dirname(this.#file);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await access(folder, constants.W_OK);
    } catch (cause) {
      throw new KleidiError(
        'file-failed',
        `${folder} is not writable: a refused PIN could not be remembered`,
        { hint: 'make the folder of runtimeDir for the user of kleidi, mode 0700', cause },
      );
    }
  }
}
