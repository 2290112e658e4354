// The way in of one connection: header blocks and DATA become streams and their bodies.
// Source: RFC 9113, 5.1, 6.1, 6.2, 6.4 and 8.1.
import type { Answers } from './answers.ts';
import { Breach, errorCode, type Frame, flag, frameType, unpadded } from './frame.ts';
import { HeaderBlock } from './headerblock.ts';
import { HpackDecoder } from './hpackdecoder.ts';
import { Inflow, type SessionLimits } from './inflow.ts';
import { RequestHead } from './requesthead.ts';
import { Stream } from './stream.ts';
import type { Streams } from './streams.ts';

export class Requests {
  /** After a GOAWAY: what is begun from now on the client repeats elsewhere. */
  isLeaving = false;
  readonly #streams: Streams;
  readonly #answers: Answers;
  readonly #limits: SessionLimits;
  readonly #begin: (stream: Stream) => void;
  readonly #inflow: Inflow;
  readonly #decoder = new HpackDecoder();
  #block: HeaderBlock | undefined;

  constructor(
    streams: Streams,
    answers: Answers,
    limits: SessionLimits,
    begin: (stream: Stream) => void,
  ) {
    this.#streams = streams;
    this.#answers = answers;
    this.#limits = limits;
    this.#begin = begin;
    this.#inflow = Inflow.offer(answers.outbox, limits);
  }

  /** Nothing may come between the frames of a header block. */
  requireOrder({ type, stream }: Frame): void {
    const isContinued = type === frameType.continuation;
    const block = this.#block;
    if (isContinued === (block !== undefined) && (block?.stream ?? stream) === stream) return;
    throw new Breach(errorCode.protocolError, 'a header block is torn');
  }

  takeHeaders(frame: Frame): void {
    if (frame.stream % 2 === 0) {
      throw new Breach(errorCode.protocolError, 'HEADERS on no stream of a client');
    }
    this.#block = HeaderBlock.of(frame);
    this.#takeIfWhole(this.#block);
  }

  takeContinuation(frame: Frame): void {
    this.#block?.add(frame);
    if (this.#block !== undefined) this.#takeIfWhole(this.#block);
  }

  takeData(frame: Frame): void {
    this.#inflow.take(frame.payload.length);
    const body = unpadded(frame);
    const stream = this.#requireOpen(frame.stream);
    if (stream === undefined) return;
    stream.receivedBytes += frame.payload.length;
    if (stream.receivedBytes > this.#limits.bodyBytes) {
      throw new Breach(errorCode.flowControlError, 'more than the window', stream.id);
    }
    stream.bodyBytes += body.length;
    stream.isRequestEnded = (frame.flags & flag.endStream) !== 0;
    if (body.length > 0) stream.listener.data(body);
    if (stream.isRequestEnded) this.#end(stream);
  }

  takeReset({ stream: id, payload }: Frame): void {
    const stream = this.find(id);
    if (stream === undefined) return;
    stream.rstCode = payload.readUInt32BE(0);
    this.#streams.remove(id);
    this.#answers.drop(stream);
  }

  #takeIfWhole(block: HeaderBlock): void {
    if (!block.isWhole) return;
    this.#block = undefined;
    // Whatever becomes of it, the tables of both ends must stay the same.
    const head = new RequestHead(this.#limits.headBytes);
    this.#decoder.decode(block.bytes, (field) => head.take(field));
    if (this.#streams.isIdle(block.stream)) this.#takeRequest(block, head);
    else this.#takeTrailers(block, head);
  }

  #takeRequest({ stream: id, isLast }: HeaderBlock, head: RequestHead): void {
    if (this.isLeaving) return;
    this.#streams.use(id);
    head.end();
    if (head.fault !== undefined) throw new Breach(errorCode.protocolError, head.fault, id);
    if (this.#streams.count >= this.#limits.streams) {
      throw new Breach(errorCode.refusedStream, 'too many streams', id);
    }
    const stream = new Stream(this.#answers, id, head, this.#answers.streamWindowBytes);
    stream.isRequestEnded = isLast;
    this.#streams.add(stream);
    this.#begin(stream);
    if (isLast) this.#end(stream);
  }

  #takeTrailers({ stream: id, isLast }: HeaderBlock, head: RequestHead): void {
    const stream = this.#requireOpen(id);
    if (stream === undefined) return;
    const fault = isLast ? head.faultOfTrailers() : 'trailers that are not last';
    if (fault !== undefined) throw new Breach(errorCode.protocolError, fault, id);
    this.#end(stream);
  }

  /**
   * @returns nothing where it has ended
   * @throws Breach it was never begun
   */
  find(id: number): Stream | undefined {
    if (this.#streams.isIdle(id) && !this.isLeaving) {
      throw new Breach(errorCode.protocolError, 'a stream that was never begun');
    }
    return this.#streams.get(id);
  }

  /** @returns nothing where it was reset here, and the client does not know yet */
  #requireOpen(id: number): Stream | undefined {
    const stream = this.find(id);
    if (stream !== undefined && !stream.isRequestEnded) return stream;
    if (this.#streams.wasResetHere(id) || this.#streams.isIdle(id)) return undefined;
    throw stream === undefined
      ? new Breach(errorCode.streamClosed, 'a stream that has ended')
      : new Breach(errorCode.streamClosed, 'a request that has ended', id);
  }

  #end(stream: Stream): void {
    stream.isRequestEnded = true;
    if (stream.closed) return;
    const length = stream.head.get('content-length');
    if (length !== undefined && Number(length) !== stream.bodyBytes) {
      throw new Breach(errorCode.protocolError, 'not as long as it says', stream.id);
    }
    stream.listener.end();
  }
}
