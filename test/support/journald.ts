// Stands in for journald: a real datagram socket, its entries read by the rules
// of the native protocol.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

interface Receiver {
  bind(path: string): void;
  close(): void;
}

const { createSocket } = createRequire(import.meta.url)('unix-dgram') as {
  createSocket(type: 'unix_dgram', received: (data: Buffer) => void): Receiver;
};

export type Entry = Readonly<Record<string, readonly string[]>>;

const eventTimeoutMs = 60_000;

export class JournalReceiver {
  readonly path: string;
  readonly entries: Entry[] = [];
  #socket: Receiver | undefined;

  constructor(folder: string) {
    this.path = join(folder, 'socket');
    this.#socket = createSocket('unix_dgram', (data) => this.entries.push(parseEntry(data)));
    this.#socket.bind(this.path);
  }

  /** The first entry of any of these events, waited for. */
  async event(...names: readonly string[]): Promise<Entry> {
    for (const end = Date.now() + eventTimeoutMs; Date.now() < end; await sleep(10)) {
      const found = this.entries.find((entry) => names.includes(entry['KLEIDI_EVENT']?.[0] ?? ''));
      if (found !== undefined) return found;
    }
    throw new Error(`no ${names.join(', ')}: ${JSON.stringify(this.entries, null, 1)}`);
  }

  /** An open one keeps the test's process from ending. */
  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }
}

/** systemd.io/JOURNAL_NATIVE_PROTOCOL: NAME=VALUE\n, or NAME\n, 64-bit length, value, \n. */
export function parseEntry(data: Buffer): Entry {
  const fields: Record<string, string[]> = {};
  for (let at = 0; at < data.length; ) {
    const line = data.indexOf('\n', at);
    const equals = data.indexOf('=', at);
    const binary = equals === -1 || equals > line;
    const nameEnd = binary ? line : equals;
    const start = binary ? line + 9 : equals + 1;
    const end = binary ? start + Number(data.readBigUInt64LE(line + 1)) : line;
    const name = data.toString('utf8', at, nameEnd);
    if (!/^[A-Z][A-Z0-9_]{0,63}$/.test(name)) throw new Error(`journald would drop '${name}'`);
    if (data[end] !== 0x0a) throw new Error(`${name} has no end`);
    fields[name] = [...(fields[name] ?? []), data.toString('utf8', start, end)];
    at = end + 1;
  }
  return fields;
}
