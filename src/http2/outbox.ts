// What goes to one client: frames are gathered, and written together when the turn of the event
// loop that made them ends.
import type { Socket } from 'node:net';
import { headBytes, writeHead } from './frame.ts';
import type { Stream } from './stream.ts';

/** Some thirty answers; more are written in parts, and the client begins with the first. */
const chunkBytes = 4 * 1024;
const fullBytes = 64 * 1024;

export class Outbox {
  readonly #socket: Socket;
  readonly #written: (stream: Stream) => void;
  #chunk = Buffer.allocUnsafe(0);
  #usedBytes = 0;
  #isFlushDue = false;
  /** To be told of with the frames that are gathered. */
  #ending: Stream[] = [];
  /** Of each write that has not called back. */
  readonly #writes: Stream[][] = [];

  /** @param written called once for each stream: its frames are with the kernel, or never will be */
  constructor(socket: Socket, written: (stream: Stream) => void) {
    this.#socket = socket;
    this.#written = written;
  }

  /** The client does not read what it asked for. `drain` of the socket tells when it has. */
  get isFull(): boolean {
    return this.#socket.writableLength > fullBytes;
  }

  get hasUnwritten(): boolean {
    return this.#usedBytes > 0 || this.#socket.writableLength > 0;
  }

  frame(
    type: number,
    flags: number,
    stream: number,
    payload: Uint8Array | readonly number[],
  ): void {
    const { length } = payload;
    this.#reserve(headBytes + length);
    const begin = writeHead(this.#chunk, this.#usedBytes, { length, type, flags, stream });
    this.#chunk.set(payload, begin);
    this.#usedBytes = begin + length;
  }

  /** Its last frame was given. */
  tellWhenWritten(stream: Stream): void {
    this.#ending.push(stream);
  }

  /** Writes what is gathered, then ends the connection. */
  end(): void {
    this.#write();
    this.#socket.end();
  }

  /** The connection is closed. */
  abandon(): void {
    const all = [...this.#writes.flat(), ...this.#ending];
    this.#writes.length = 0;
    this.#ending = [];
    all.forEach(this.#written);
  }

  #reserve(bytes: number): void {
    if (!this.#isFlushDue) {
      this.#isFlushDue = true;
      process.nextTick(this.#flush);
    }
    if (this.#usedBytes + bytes <= this.#chunk.length) return;
    this.#write();
    if (bytes > this.#chunk.length) {
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(bytes, chunkBytes));
    }
  }

  // Functions that are made once: see StreamListener.
  readonly #flush = (): void => {
    this.#isFlushDue = false;
    this.#write();
  };

  readonly #wrote = (): void => {
    for (const stream of this.#writes.shift() ?? []) this.#written(stream);
  };

  #write(): void {
    if (this.#usedBytes === 0 || !this.#socket.writable) return;
    const part = this.#chunk.subarray(0, this.#usedBytes);
    const ending = this.#ending;
    this.#usedBytes = 0;
    this.#ending = [];
    this.#writes.push(ending);
    this.#socket.write(part, this.#wrote);
    // Else the socket has not copied it yet.
    if (this.#socket.writableLength > 0) this.#chunk = Buffer.allocUnsafe(0);
  }
}
