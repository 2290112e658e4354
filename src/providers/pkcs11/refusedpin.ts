// A refused PIN is tried once, also across restarts: many tokens lock after a
// few wrong ones. What is kept is a salted scrypt of it, in the runtime folder
// (never on disk), so that a new PIN is tried at once. Of several: the daemon may have an old
// one while somebody tries new ones.
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { access, constants, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { KleidiError } from '../../errors.ts';
import { writeFileAtomically } from '../../files.ts';
import { readForeignFile } from '../../readfile.ts';

/** Salt 16, hash 32, in hex. */
const recordBytes = 97;
/** Each costs a scrypt at every opening; a token has locked long before. */
const mostRecords = 8;
const maxFileBytes = mostRecords * (recordBytes + 1);

const derive = promisify<string, Buffer, number, Buffer>(scrypt);

/** CKU_USER and CKU_SO. */
export type PinUser = 'user' | 'so';

export class RefusedPin {
  readonly #file: string;

  /**
   * @param folder the runtime folder
   * @param whose the SO PIN has a counter of its own in the token
   */
  constructor(folder: string, whose: PinUser = 'user') {
    this.#file = join(folder, whose === 'so' ? 'refused-so-pin' : 'refused-pin');
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
        hint: `put the right PIN there: kleidi pin set; to try the same PIN once more: rm ${this.#file}`,
      },
    );
  }

  /** Only looks: nothing is made, nothing is tried. */
  async isRefused(pin: string): Promise<boolean> {
    const all = await Promise.all((await this.#records()).map((record) => isOf(record, pin)));
    return all.includes(true);
  }

  async remember(pin: string): Promise<void> {
    const salt = randomBytes(16);
    const hash = await derive(pin, salt, 32);
    const record = `${salt.toString('hex')}:${hash.toString('hex')}`;
    await this.#write([record, ...(await this.#records())].slice(0, mostRecords));
  }

  /** The token has accepted it since. */
  async forget(pin: string): Promise<void> {
    const records = await this.#records();
    const isIt = await Promise.all(records.map((record) => isOf(record, pin)));
    if (isIt.includes(true)) await this.#write(records.filter((_, i) => isIt[i] === false));
  }

  async #records(): Promise<readonly string[]> {
    const bytes = await readForeignFile(this.#file, maxFileBytes).catch(() => undefined);
    return (bytes?.toString('latin1') ?? '').split('\n').filter((line) => line !== '');
  }

  /**
   * What a command of root's writes, the daemon must be able to read; and what the owner of
   * the token writes, by their group. The folder keeps others out.
   */
  async #write(records: readonly string[]): Promise<void> {
    const owner = process.getuid?.() === 0 ? await stat(dirname(this.#file)) : undefined;
    const text = records.join('\n');
    await writeFileAtomically(this.#file, text, 0o640, owner).catch(() => undefined);
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

async function isOf(record: string, pin: string): Promise<boolean> {
  const [salt, hash] = record.split(':').map((part) => Buffer.from(part, 'hex'));
  if (salt === undefined || hash?.length !== 32) return false;
  return timingSafeEqual(await derive(pin, salt, 32), hash);
}
