// What goes to one client: frames are gathered, and written together when the turn of the event
// loop that made them ends.
import type { Socket } from 'node:net';
import { headBytes, writeHead } from './frame.ts';

/** Some thirty answers; more are written in parts, and the client begins with the first. */
const chunkBytes = 4 * 1024;
const fullBytes = 64 * 1024;

export class Outbox {
  readonly #socket: Socket;
  #chunk = Buffer.allocUnsafe(0);
  #usedBytes = 0;
  #isFlushDue = false;
  #written: (() => void)[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
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

  /** @param then called when the frames until now are with the kernel, and not if they never are */
  whenWritten(then: () => void): void {
    this.#written.push(then);
  }

  /** Writes what is gathered, then ends the connection. */
  end(): void {
    this.#write();
    this.#socket.end();
  }

  #reserve(bytes: number): void {
    if (!this.#isFlushDue) {
      this.#isFlushDue = true;
      process.nextTick(() => {
        this.#isFlushDue = false;
        this.#write();
      });
    }
    if (this.#usedBytes + bytes <= this.#chunk.length) return;
    this.#write();
    if (bytes > this.#chunk.length) {
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(bytes, chunkBytes));
    }
  }

  #write(): void {
    if (this.#usedBytes === 0 || !this.#socket.writable) return;
    const part = this.#chunk.subarray(0, this.#usedBytes);
    const written = this.#written;
    this.#usedBytes = 0;
    this.#written = [];
    let isLate = false;
    this.#socket.write(part, (error) => {
      if (isLate && !error) callAll(written);
    });
    isLate = this.#socket.writableLength > 0;
    if (!isLate) callAll(written);
    // Else the socket has not copied it yet.
    else this.#chunk = Buffer.allocUnsafe(0);
  }
}

function callAll(each: readonly (() => void)[]): void {
  for (const call of each) call();
}
