// HTTP/2 frames by hand, for clients that no library would make: requests that never
// become whole, and connections that say little or nothing.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
/** Frame types of RFC 9113, 6, and one that nobody knows: it must be ignored. */
export const frames = {
  data: 0x0,
  headers: 0x1,
  reset: 0x3,
  settings: 0x4,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
  unknown: 0xfa,
} as const;
export const endStream = 0x1;
export const endHeaders = 0x4;
const settingsAck = 0x1;

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** One header as a literal without index (RFC 7541, 6.2.2), both lengths of one or three bytes. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const more = bytes.length - 127;
  return Buffer.concat([Buffer.from([127, (more & 127) | 128, more >> 7]), bytes]);
}

export function callHeaders(path: string, extra: Readonly<Record<string, string>> = {}): Buffer {
  const all = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'localhost',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...extra,
  };
  return Buffer.concat(Object.entries(all).map(([name, value]) => literal(name, value)));
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export class RawConnection {
  readonly socket: Socket;
  /** Every frame of the daemon, while nothing was paused. */
  readonly received: Frame[] = [];
  readonly connected: Promise<unknown>;
  readonly closed: Promise<void>;
  isClosed = false;
  /** Acknowledges SETTINGS: no client may before its preface. */
  #greeted = false;
  #rest = Buffer.alloc(0);

  constructor(path: string) {
    this.socket = connect(path).on('error', () => undefined);
    this.connected = once(this.socket, 'connect');
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => {
        this.isClosed = true;
        resolve();
      });
    });
    this.socket.on('data', (bytes) => this.#take(bytes));
    after(() => this.socket.destroy());
  }

  /** Preface and SETTINGS, so that calls can follow. */
  static greeted(path: string, settings: Buffer = Buffer.alloc(0)): RawConnection {
    const connection = new RawConnection(path);
    connection.#greeted = true;
    connection.send(preface, frame(frames.settings, 0, 0, settings));
    return connection;
  }

  send(...parts: readonly Buffer[]): void {
    if (this.socket.writable) this.socket.write(Buffer.concat(parts));
  }

  begin(stream: number, path = '/v2.KeyManagementService/Encrypt'): void {
    this.send(frame(frames.headers, endHeaders, stream, callHeaders(path)));
  }

  /** Resolves when the kernel has taken all, or the connection is closed. */
  async flushed(): Promise<void> {
    while (this.socket.writableLength > 0 && !this.isClosed) await sleep(1);
  }

  of(type: number): readonly Frame[] {
    return this.received.filter((each) => each.type === type);
  }

  #take(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= 9 && this.#rest.length >= 9 + this.#rest.readUIntBE(0, 3)) {
      const end = 9 + this.#rest.readUIntBE(0, 3);
      const [type, flags] = [this.#rest.readUInt8(3), this.#rest.readUInt8(4)];
      const stream = this.#rest.readUInt32BE(5);
      this.received.push({ type, flags, stream, payload: this.#rest.subarray(9, end) });
      this.#rest = this.#rest.subarray(end);
      const asked = this.#greeted && type === frames.settings && flags === 0;
      if (asked) this.send(frame(frames.settings, settingsAck, 0, Buffer.alloc(0)));
    }
  }
}
