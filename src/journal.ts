// The journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one
// datagram an entry, with MESSAGE_ID and fields that journalctl can match. The
// owner of unix-dgram. A send never waits and never throws: where it fails,
// the caller writes its line to standard output instead.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

export const journalSocketPath = '/run/systemd/journal/socket';

/** Far below the least socket buffer (net.core.wmem_default, 208 KiB): 48 KiB in all. */
const maxMessageBytes = 8 * 1024;
const maxValueBytes = 1024;
const maxFields = 40;

/** A name and its value; names may come again. */
export type JournalField = readonly [name: string, value: string];

interface DatagramSocket {
  on(event: 'error', listener: (error: Error) => void): void;
  send(
    data: Buffer,
    offset: number,
    length: number,
    path: string,
    done: (error?: Error) => void,
  ): void;
  close(): void;
}

interface UnixDatagrams {
  createSocket(type: 'unix_dgram'): DatagramSocket;
}

export class Journal {
  readonly #path: string;
  readonly #datagrams: UnixDatagrams;

  private constructor(path: string, datagrams: UnixDatagrams) {
    this.#path = path;
    this.#datagrams = datagrams;
  }

  /** Undefined where nothing listens there, or the add-on cannot be loaded. */
  static open(path: string): Journal | undefined {
    if (!existsSync(path)) return undefined;
    try {
      const datagrams = createRequire(import.meta.url)('unix-dgram') as UnixDatagrams;
      return new Journal(path, datagrams);
    } catch {
      return undefined;
    }
  }

  /**
   * A socket for each entry: unix-dgram would watch an open one, which keeps
   * the process from ending. Not connected, so that a restart of journald
   * needs nothing of us.
   * @returns whether the journal has it
   */
  send(fields: readonly JournalField[]): boolean {
    try {
      return this.#sendOrThrow(journalEntry(fields));
    } catch {
      return false;
    }
  }

  #sendOrThrow(entry: Buffer): boolean {
    const socket = this.#datagrams.createSocket('unix_dgram');
    try {
      let sent = false;
      // Called before send() returns; the socket is non-blocking.
      socket.send(entry, 0, entry.length, this.#path, (error) => {
        sent = error === undefined;
      });
      return sent;
    } finally {
      socket.close();
    }
  }
}

/** The bytes of one entry. What is too long is cut. */
export function journalEntry(fields: readonly JournalField[]): Buffer {
  return Buffer.concat(fields.slice(0, maxFields).map(encoded));
}

/** Text of one line as NAME=VALUE; any other with its length in front. */
function encoded([name, value]: JournalField): Buffer {
  const bytes = cut(value, name === 'MESSAGE' ? maxMessageBytes : maxValueBytes);
  if (!bytes.includes('\n')) {
    return Buffer.concat([Buffer.from(`${name}=`), bytes, Buffer.from('\n')]);
  }
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, Buffer.from('\n')]);
}

/** Never in the middle of a character: journalctl shows broken text as a blob. */
function cut(value: string, maxBytes: number): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length <= maxBytes) return bytes;
  let end = maxBytes;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return Buffer.concat([bytes.subarray(0, end), Buffer.from('…')]);
}
