// The way out of one connection: answers become frames, as far as the windows of the client let
// them; what it does not take waits here.
// Source: RFC 9113, 5.2, 6.9 and 8.1.
import type { Socket } from 'node:net';
import {
  Breach,
  defaultWindowBytes,
  errorCode,
  type Frame,
  flag,
  frameType,
  maxFrameBytes,
  maxWindowBytes,
  uint32,
} from './frame.ts';
import { HpackEncoder } from './hpackencoder.ts';
import { Outbox } from './outbox.ts';
import { PeerSettings } from './peersettings.ts';
import type { Field } from './statictable.ts';
import type { Sender, Stream } from './stream.ts';
import type { Streams } from './streams.ts';

export class Answers implements Sender {
  readonly outbox: Outbox;
  readonly #streams: Streams;
  readonly #encoder: HpackEncoder;
  readonly #settings = new PeerSettings();
  #windowBytes = defaultWindowBytes;
  readonly #waiting = new Set<Stream>();
  /** Streams whose last frame is not written. */
  #ending = 0;
  #done: (() => void) | undefined;

  /** @param repeated fields that come with each answer */
  constructor(socket: Socket, streams: Streams, repeated: readonly Field[]) {
    this.outbox = new Outbox(socket, (stream) => this.#written(stream));
    this.#streams = streams;
    this.#encoder = new HpackEncoder(repeated);
    socket.on('drain', () => this.#resume());
  }

  /** Of a stream that begins now. */
  get streamWindowBytes(): number {
    return this.#settings.windowBytes;
  }

  sendHeaders(stream: Stream, fields: readonly Field[], isLast: boolean): void {
    stream.headersSent = true;
    const flags = flag.endHeaders | (isLast ? flag.endStream : 0);
    this.outbox.frame(frameType.headers, flags, stream.id, this.#encoder.encode(fields));
    if (isLast) this.#finish(stream);
  }

  sendBody(stream: Stream): void {
    const { unsent } = stream;
    if (unsent === undefined) return;
    const sent = this.#sendPart(stream, unsent.body);
    if (sent < unsent.body.length) {
      stream.unsent = { body: unsent.body.subarray(sent), trailers: unsent.trailers };
      this.#waiting.add(stream);
      return;
    }
    stream.unsent = undefined;
    this.#waiting.delete(stream);
    this.sendHeaders(stream, unsent.trailers, true);
  }

  reset(stream: Stream, code: number): void {
    stream.rstCode = code;
    stream.closed = true;
    stream.unsent = undefined;
    this.#waiting.delete(stream);
    this.resetUnknown(stream.id, code);
    this.#endWhenWritten(stream);
  }

  /** Of a stream that has ended, or never was one. */
  resetUnknown(id: number, code: number): void {
    this.outbox.frame(frameType.resetStream, 0, id, uint32(code));
    this.#streams.forget(id);
  }

  acknowledge({ type, payload }: Frame): void {
    this.outbox.frame(type, flag.ack, 0, payload);
  }

  /** @param then called when no stream is open and all is with the kernel, now or later */
  whenDone(then: () => void): void {
    this.#done = then;
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#streams.count === 0 && this.#ending === 0) this.#done?.();
  }

  /** Nothing more of it is sent. */
  drop(stream: Stream): void {
    this.#waiting.delete(stream);
    stream.over();
    this.#endIfDone();
  }

  /** The connection is closed. */
  dropAll(): void {
    for (const stream of this.#streams.all()) this.drop(stream);
    this.outbox.abandon();
  }

  /** @throws Breach */
  takeSettings(payload: Buffer): void {
    const before = this.#settings.windowBytes;
    this.#settings.take(payload);
    this.#encoder.limitTable(this.#settings.tableBytes);
    this.outbox.frame(frameType.settings, flag.ack, 0, []);
    const more = this.#settings.windowBytes - before;
    for (const stream of this.#streams.all()) {
      stream.windowBytes += more;
      if (stream.windowBytes > maxWindowBytes) throw tooWide();
    }
    if (more > 0) this.#resume();
  }

  /** @throws Breach @param stream none: of the connection */
  widen(bytes: number, stream?: Stream): void {
    if (stream === undefined) this.#windowBytes += bytes;
    else stream.windowBytes += bytes;
    if (this.#windowBytes > maxWindowBytes) throw tooWide();
    if (stream !== undefined && stream.windowBytes > maxWindowBytes) {
      throw new Breach(errorCode.flowControlError, 'a window too wide', stream.id);
    }
    this.#resume();
  }

  /** @returns how much of it */
  #sendPart(stream: Stream, body: Buffer): number {
    let at = 0;
    while (at < body.length && !this.outbox.isFull) {
      const taken = Math.min(this.#windowBytes, stream.windowBytes, maxFrameBytes);
      if (taken <= 0) break;
      const part = body.subarray(at, at + taken);
      this.outbox.frame(frameType.data, 0, stream.id, part);
      this.#windowBytes -= part.length;
      stream.windowBytes -= part.length;
      at += part.length;
    }
    return at;
  }

  /** In the order in which they began to wait. */
  #resume(): void {
    for (const stream of this.#waiting) this.sendBody(stream);
  }

  /** What the client has not sent yet is not wanted (RFC 9113, 8.1). */
  #finish(stream: Stream): void {
    stream.closed = true;
    if (stream.isRequestEnded) this.#streams.remove(stream.id);
    else {
      this.outbox.frame(frameType.resetStream, 0, stream.id, uint32(errorCode.noError));
      this.#streams.forget(stream.id);
    }
    this.#endWhenWritten(stream);
  }

  #endWhenWritten(stream: Stream): void {
    this.#ending += 1;
    this.outbox.tellWhenWritten(stream);
  }

  #written(stream: Stream): void {
    this.#ending -= 1;
    this.drop(stream);
  }
}

function tooWide(): Breach {
  return new Breach(errorCode.flowControlError, 'a window too wide');
}
