// One request and its answer. Its session moves it; who answers it hears of its parts.
import type { RequestHead } from './requesthead.ts';
import type { Field } from './statictable.ts';

/** What a stream asks of its session. */
export interface Sender {
  sendHeaders(stream: Stream, fields: readonly Field[], isLast: boolean): void;
  /** As much of `unsent` as the client takes now; the rest later. */
  sendBody(stream: Stream): void;
  reset(stream: Stream, code: number): void;
}

/** Of an answer, what is not sent. */
interface Unsent {
  readonly body: Buffer;
  readonly trailers: readonly Field[];
}

/**
 * Who answers a stream. An object, since a function that is made for each stream and kept in a field
 * outlives the collections of the young generation (V8 13.6), with all that it refers to.
 */
export interface StreamListener {
  /** A part of the body. Its memory is used again: what is kept must be copied. */
  data(part: Buffer): void;
  /** All of the body has come. */
  end(): void;
  /** Once: the answer is with the kernel, or nobody waits for it any more. */
  closed(): void;
}

const deaf: StreamListener = { data: ignore, end: ignore, closed: ignore };

function ignore(): void {
  // Nobody listens.
}

export class Stream {
  readonly id: number;
  readonly head: RequestHead;
  /** How much more of a body the client takes. */
  windowBytes: number;
  /** As the client's window counts them, with padding. */
  receivedBytes = 0;
  /** Of the body of the request. */
  bodyBytes = 0;
  /** The client has sent all. */
  isRequestEnded = false;
  headersSent = false;
  unsent: Unsent | undefined;
  /** Nothing more is sent or taken: all of the answer is on its way, or the stream was reset. */
  closed = false;
  /** Of RST_STREAM, whoever sent it. */
  rstCode = 0;
  listener: StreamListener = deaf;
  readonly #sender: Sender;
  #isOver = false;

  constructor(sender: Sender, id: number, head: RequestHead, windowBytes: number) {
    this.#sender = sender;
    this.id = id;
    this.head = head;
    this.windowBytes = windowBytes;
  }

  /** Headers alone. */
  end(headers: readonly Field[]): void {
    if (this.closed || this.headersSent) return;
    this.#sender.sendHeaders(this, headers, true);
  }

  answer(headers: readonly Field[], body: Buffer, trailers: readonly Field[]): void {
    if (this.closed || this.headersSent) return;
    this.#sender.sendHeaders(this, headers, false);
    this.unsent = { body, trailers };
    this.#sender.sendBody(this);
  }

  /** RST_STREAM */
  close(code: number): void {
    if (!this.closed) this.#sender.reset(this, code);
  }

  /** The session's word that nothing of it is left. */
  over(): void {
    this.closed = true;
    this.unsent = undefined;
    if (this.#isOver) return;
    this.#isOver = true;
    this.listener.closed();
  }
}
