// The server's end of one HTTP/2 connection. Only what gRPC needs is there: no push, no priorities.
// Source: RFC 9113; the rules of each frame stand in its section of 6.
import type { Socket } from 'node:net';
import { Answers } from './answers.ts';
import { Breach, errorCode, type Frame, flag, frameType, maxWindowBytes, uint32 } from './frame.ts';
import { FrameReader } from './framereader.ts';
import { requireSound } from './framerules.ts';
import type { SessionLimits } from './inflow.ts';
import { Requests } from './requests.ts';
import type { Field } from './statictable.ts';
import type { Stream } from './stream.ts';
import { Streams } from './streams.ts';

/** For a client to read why its connection ends. */
const lingerMs = 100;

export interface SessionParts {
  readonly limits: SessionLimits;
  /** Fields that come with each answer. */
  readonly repeated: readonly Field[];
  /** A request has begun; its body follows. */
  readonly begin: (stream: Stream) => void;
  /** What `begin` and the handlers of streams throw, which they should not. */
  readonly failed: (thrown: unknown) => void;
}

export class Session {
  readonly #socket: Socket;
  readonly #parts: SessionParts;
  readonly #streams = new Streams();
  readonly #answers: Answers;
  readonly #requests: Requests;
  readonly #reader = new FrameReader();
  /**
   * All else is ignored: what is newer than RFC 9113, PRIORITY, and the client's GOAWAY, which
   * speaks of streams that kleidi would begin.
   */
  readonly #takers: ReadonlyMap<number, (frame: Frame) => void> = new Map([
    [frameType.data, (frame) => this.#requests.takeData(frame)],
    [frameType.headers, (frame) => this.#requests.takeHeaders(frame)],
    [frameType.continuation, (frame) => this.#requests.takeContinuation(frame)],
    [frameType.resetStream, (frame) => this.#requests.takeReset(frame)],
    [frameType.settings, (frame) => this.#takeSettings(frame)],
    [frameType.ping, (frame) => this.#takePing(frame)],
    [frameType.windowUpdate, (frame) => this.#takeWindowUpdate(frame)],
  ]);
  #isGreeted = false;
  #isOver = false;

  constructor(socket: Socket, parts: SessionParts) {
    this.#socket = socket;
    this.#parts = parts;
    this.#answers = new Answers(socket, this.#streams, parts.repeated);
    this.#requests = new Requests(this.#streams, this.#answers, parts.limits, parts.begin);
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('drain', () => socket.resume());
    // `close` tells of its end, as of any other.
    socket.on('error', ignore);
    socket.on('close', () => {
      this.#isOver = true;
      this.#answers.dropAll();
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Frames that the kernel has not taken. */
  get hasUnwritten(): boolean {
    return !this.#isOver && this.#answers.outbox.hasUnwritten;
  }

  /** GOAWAY: the client begins nothing more here, and repeats elsewhere what this does not name. */
  leave(): void {
    if (this.#isOver || this.#requests.isLeaving) return;
    this.#requests.isLeaving = true;
    this.#sayGoaway(errorCode.noError);
  }

  /** Ends the connection when what was begun is answered. */
  finish(): void {
    this.leave();
    this.#answers.whenDone(() => this.#answers.outbox.end());
  }

  destroy(): void {
    this.#isOver = true;
    this.#socket.destroy();
  }

  #read(bytes: Buffer): void {
    if (this.#isOver) return;
    try {
      this.#reader.read(bytes, this.#take);
    } catch (thrown) {
      this.#fail(thrown);
    }
    // What it asks for is answered no faster than it reads.
    if (this.#answers.outbox.isFull) this.#socket.pause();
  }

  readonly #take = (frame: Frame): void => {
    if (this.#isOver) return;
    try {
      this.#dispatch(frame);
    } catch (thrown) {
      if (!(thrown instanceof Breach) || thrown.stream === undefined) throw thrown;
      this.#reset(thrown.stream, thrown.code);
    }
  };

  #dispatch(frame: Frame): void {
    this.#requests.requireOrder(frame);
    requireSound(frame);
    if (!this.#isGreeted) this.#requireGreeting(frame);
    this.#takers.get(frame.type)?.(frame);
  }

  #requireGreeting({ type, flags }: Frame): void {
    this.#isGreeted = type === frameType.settings && (flags & flag.ack) === 0;
    if (this.#isGreeted) return;
    throw new Breach(errorCode.protocolError, 'SETTINGS do not come first');
  }

  #takeSettings({ flags, payload }: Frame): void {
    if ((flags & flag.ack) === 0) this.#answers.takeSettings(payload);
  }

  #takePing(frame: Frame): void {
    if ((frame.flags & flag.ack) === 0) this.#answers.acknowledge(frame);
  }

  #takeWindowUpdate({ stream: id, payload }: Frame): void {
    const bytes = payload.readUInt32BE(0) & maxWindowBytes;
    if (id === 0) {
      if (bytes === 0) throw new Breach(errorCode.protocolError, 'a window by nothing');
      this.#answers.widen(bytes);
      return;
    }
    const stream = this.#requests.find(id);
    if (bytes === 0) throw new Breach(errorCode.protocolError, 'a window by nothing', id);
    if (stream !== undefined) this.#answers.widen(bytes, stream);
  }

  #reset(id: number, code: number): void {
    const stream = this.#streams.get(id);
    if (stream !== undefined) stream.close(code);
    else this.#answers.resetUnknown(id, code);
  }

  #fail(thrown: unknown): void {
    const isTheirs = thrown instanceof Breach;
    if (!isTheirs) this.#parts.failed(thrown);
    this.#isOver = true;
    this.#sayGoaway(isTheirs ? thrown.code : errorCode.internalError);
    this.#answers.outbox.end();
    this.#answers.dropAll();
    setTimeout(() => this.#socket.destroy(), lingerMs).unref();
  }

  #sayGoaway(code: number): void {
    const payload = Buffer.concat([uint32(this.#streams.lastId), uint32(code)]);
    this.#answers.outbox.frame(frameType.goaway, 0, 0, payload);
  }
}

function ignore(): void {
  // On purpose.
}
