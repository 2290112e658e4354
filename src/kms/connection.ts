// One connection and its open calls, and how it is told to go.
import { constants, type Http2Session, type Http2Stream, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

/** For the GOAWAY to be on its way: see sessions.ts. */
const lingerMs = 20;
/** One read of Node; what began a request may have come with the end of another. */
const readBytes = 64 * 1024;

export interface OpenCall {
  readonly stream: ServerHttp2Stream;
  readonly connection: Connection;
  readonly startedMs: number;
  /** Of the connection, when this call began. */
  readonly bytesBefore: number;
  readonly weight: number;
  /** All of the request has come. */
  whole: boolean;
}

export class Connection {
  readonly openedMs = performance.now();
  /** In the order in which they began. */
  readonly calls = new Set<OpenCall>();
  finishedMs: number | undefined;
  /** Of the last call of KMS v2; zero: none. */
  kmsCallUnixMs = 0;
  readonly #socket: Socket;
  #session: Http2Session | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static over(socket: Socket): Connection {
    const connection = new Connection(socket);
    (socket as unknown as Owned)[owner] = connection;
    return connection;
  }

  /** The connection that carries this stream, where it is one of ours. */
  static of(stream: Http2Stream): Connection | undefined {
    const { session } = stream;
    if (session === undefined || session.destroyed) return undefined;
    const known = (session as Owned)[owner];
    if (known !== undefined) return known;
    const connection = (session.socket as unknown as Owned)[owner];
    if (connection === undefined) return undefined;
    connection.#session = session;
    (session as Owned)[owner] = connection;
    return connection;
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  /** Since the oldest request began that has not come whole. */
  get unfinishedBytes(): number {
    const oldest = this.oldestUnfinished();
    if (oldest === undefined) return 0;
    return Math.min(this.bytesRead, this.bytesRead - oldest.bytesBefore + readBytes);
  }

  /** Whether the daemon owes an answer, and not the client the rest of its request. */
  get isServed(): boolean {
    return [...this.calls].some(isInWork);
  }

  oldestUnfinished(): OpenCall | undefined {
    for (const call of this.calls) if (isUnfinished(call)) return call;
    return undefined;
  }

  /** Asks the client to go on elsewhere, then closes. What it sends from now on it repeats. */
  leave(): void {
    const session = this.#session;
    if (session === undefined || session.destroyed || session.closed) {
      this.destroy();
      return;
    }
    session.goaway(constants.NGHTTP2_NO_ERROR);
    setTimeout(() => this.destroy(), lingerMs);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Takes nothing more either of what was read already. */
  cut(): void {
    this.#session?.destroy();
    this.destroy();
  }
}

/** Its request is kept, in part. */
export function isUnfinished(call: OpenCall): boolean {
  return !call.whole && !call.stream.headersSent;
}

/** Whole and without an answer yet: it ends by itself. All else waits for the client. */
export function isInWork(call: OpenCall): boolean {
  return call.whole && !call.stream.headersSent;
}

/**
 * node:http2 gives the socket of a session as a proxy, which passes properties on; that takes
 * time, so once found, the session has it too.
 */
const owner = Symbol('connection');

interface Owned {
  [owner]?: Connection;
}
