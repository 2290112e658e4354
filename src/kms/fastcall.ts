// One unary call on the fast path: gathers its message, has it answered, and ends it once,
// whatever comes first of answer, deadline and the client's going.

import { KleidiError } from '../errors.ts';
import type { Stream, StreamListener } from '../http2/stream.ts';
import {
  answerHeaders,
  answerTrailers,
  framed,
  httpHeaders,
  prefixBytes,
  refusalHeaders,
} from './answer.ts';
import { Body } from './body.ts';
import { maxMessageBytes } from './bounds.ts';
import type { CallStream, CallWatcher } from './callstream.ts';
import { grpcStatus, type Refusal, refusalOf } from './grpcstatus.ts';
import type { Rpc } from './rpc.ts';
import { type CallContext, contextUntil } from './service.ts';

interface Work {
  readonly rpc: Rpc;
  readonly context: CallContext;
}

export class FastCall implements CallStream, StreamListener {
  readonly #stream: Stream;
  endMs = Number.POSITIVE_INFINITY;
  readonly #body = new Body();
  #work: Work | undefined;
  #watcher: CallWatcher | undefined;

  constructor(stream: Stream) {
    this.#stream = stream;
    stream.listener = this;
  }

  get path(): string {
    return this.#stream.head.get(':path') ?? '';
  }

  get headerBytes(): number {
    return this.#stream.head.bytes;
  }

  get isWhole(): boolean {
    return this.#stream.isRequestEnded;
  }

  get isAnswered(): boolean {
    return this.#stream.headersSent;
  }

  get isReset(): boolean {
    return this.#stream.rstCode !== 0;
  }

  get isClosed(): boolean {
    return this.#stream.closed;
  }

  watch(watcher: CallWatcher): void {
    this.#watcher = watcher;
  }

  reset(code: number): void {
    this.#letGo();
    this.#stream.close(code);
  }

  refuse(refusal: Refusal): void {
    if (this.#isGone) return;
    this.#letGo();
    this.#stream.end(refusalHeaders(refusal));
  }

  refuseHttp(httpStatus: number): void {
    this.#stream.end(httpHeaders(httpStatus));
  }

  /** Has it answered when all of it has come. @param timeoutMs Infinity: none */
  take(rpc: Rpc, timeoutMs: number): void {
    this.endMs = performance.now() + timeoutMs;
    this.#work = { rpc, context: contextUntil(this.endMs, () => this.#isGone) };
  }

  data(part: Buffer): void {
    if (this.#isGone || this.#work === undefined) return;
    const bytes = this.#body.bytes + part.length;
    if (bytes > prefixBytes + maxMessageBytes) this.refuse(tooLarge(bytes - prefixBytes));
    else this.#body.add(part, this.isWhole);
  }

  end(): void {
    if (this.#isGone || this.#work === undefined) return;
    const message = messageOf(this.#body.take());
    if (Buffer.isBuffer(message)) this.#ask(this.#work, message);
    else this.refuse(message);
  }

  closed(): void {
    this.#letGo();
    this.#watcher?.closed();
  }

  /** Nothing can be sent to the client any more, or it has its answer. */
  get #isGone(): boolean {
    return this.#stream.closed || this.#stream.headersSent;
  }

  #letGo(): void {
    this.#body.take();
  }

  #ask({ rpc, context }: Work, message: Buffer): void {
    const request = this.#parse(rpc, message);
    if (request === undefined) return;
    rpc
      .answer(request, context)
      .then((answer) => this.#answer(rpc.wire.responseSerialize(answer)))
      // Of an answer that cannot be written too.
      .catch((thrown) => this.refuse(refusalOf(KleidiError.from(thrown))));
  }

  #parse(rpc: Rpc, message: Buffer): object | undefined {
    try {
      return rpc.wire.requestDeserialize(message);
    } catch {
      this.refuse({
        code: grpcStatus.INTERNAL,
        details: `the request is no message of ${rpc.name}`,
      });
      return undefined;
    }
  }

  #answer(message: Buffer): void {
    if (this.#isGone) return;
    this.#letGo();
    this.#stream.answer(answerHeaders, framed(message), answerTrailers);
  }
}

/** The one message of the call, or what is wrong with it. */
function messageOf(bytes: Buffer): Buffer | Refusal {
  if (bytes.length === 0) return notOne('no message');
  if (bytes.length < prefixBytes) return broken('the message ends too early');
  if (bytes[0] !== 0) return broken('the message is compressed, and no encoding is named');
  const length = bytes.readUInt32BE(1);
  const given = bytes.length - prefixBytes;
  if (length > maxMessageBytes) return tooLarge(length);
  if (length > given) return broken('the message ends too early');
  if (length < given) return notOne('more than one message');
  return bytes.subarray(prefixBytes);
}

/** statuscodes.md of gRPC: a violation of cardinality. */
function notOne(what: string): Refusal {
  return { code: grpcStatus.UNIMPLEMENTED, details: `the request has ${what}` };
}

function broken(details: string): Refusal {
  return { code: grpcStatus.INTERNAL, details };
}

function tooLarge(bytes: number): Refusal {
  const details = `Received message larger than max (${bytes} vs ${maxMessageBytes})`;
  return { code: grpcStatus.RESOURCE_EXHAUSTED, details };
}
