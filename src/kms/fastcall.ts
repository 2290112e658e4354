// One unary call on the fast path: gathers its message, has it answered, and ends it once,
// whatever comes first of answer, deadline and the client's going.
import type { ServerHttp2Stream } from 'node:http2';
import { KleidiError } from '../errors.ts';
import { answerWith, endWith, prefixBytes } from './answer.ts';
import { maxMessageBytes } from './bounds.ts';
import { grpcStatus, type Refusal, refusalOf } from './grpcstatus.ts';
import type { Rpc } from './rpc.ts';
import { type CallContext, contextUntil } from './service.ts';

const longestTimerMs = 2 ** 31 - 1;

export class FastCall {
  readonly #stream: ServerHttp2Stream;
  readonly #rpc: Rpc;
  readonly #context: CallContext;
  readonly #timer: NodeJS.Timeout | undefined;
  #parts: Buffer[] = [];
  #bytes = 0;
  #isOver = false;

  private constructor(stream: ServerHttp2Stream, rpc: Rpc, timeoutMs: number) {
    this.#stream = stream;
    this.#rpc = rpc;
    this.#context = contextUntil(performance.now() + timeoutMs, () => this.#isGone);
    if (timeoutMs < longestTimerMs) this.#timer = setTimeout(() => this.#expire(), timeoutMs);
  }

  /** @param timeoutMs Infinity: none */
  static begin(stream: ServerHttp2Stream, rpc: Rpc, timeoutMs: number): void {
    const call = new FastCall(stream, rpc, timeoutMs);
    // None of these comes twice; `once` would cost more.
    stream.on('data', (part: Buffer) => call.#keep(part));
    stream.on('end', () => call.#whole());
    stream.on('close', () => call.#end());
  }

  /** Nothing can be sent to the client any more, or it has its answer. */
  get #isGone(): boolean {
    const { destroyed, closed, headersSent } = this.#stream;
    return this.#isOver || destroyed || closed || headersSent;
  }

  #end(): void {
    this.#isOver = true;
    this.#parts = [];
    clearTimeout(this.#timer);
  }

  #expire(): void {
    this.#refuse({ code: grpcStatus.DEADLINE_EXCEEDED, details: 'Deadline exceeded' });
  }

  #keep(part: Buffer): void {
    if (this.#isOver) return;
    this.#bytes += part.length;
    this.#parts.push(part);
    if (this.#bytes > prefixBytes + maxMessageBytes) {
      this.#refuse(tooLarge(this.#bytes - prefixBytes));
    }
  }

  #whole(): void {
    if (this.#isGone) return;
    const [first] = this.#parts;
    const isOne = this.#parts.length === 1 && first !== undefined;
    const message = messageOf(isOne ? first : Buffer.concat(this.#parts));
    this.#parts = [];
    if (Buffer.isBuffer(message)) this.#ask(message);
    else this.#refuse(message);
  }

  #ask(message: Buffer): void {
    const request = this.#parse(message);
    if (request === undefined) return;
    this.#rpc
      .answer(request, this.#context)
      .then((answer) => this.#answer(answer))
      // Of an answer that cannot be written too.
      .catch((thrown) => this.#refuse(refusalOf(KleidiError.from(thrown))));
  }

  #parse(message: Buffer): object | undefined {
    try {
      return this.#rpc.wire.requestDeserialize(message);
    } catch {
      const details = `the request is no message of ${this.#rpc.name}`;
      this.#refuse({ code: grpcStatus.INTERNAL, details });
      return undefined;
    }
  }

  #answer(answer: object): void {
    if (this.#isGone) return;
    const message = this.#rpc.wire.responseSerialize(answer);
    this.#end();
    answerWith(this.#stream, message);
  }

  #refuse(refusal: Refusal): void {
    if (this.#isGone) return;
    this.#end();
    endWith(this.#stream, refusal);
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
