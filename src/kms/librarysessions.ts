// The HTTP/2 sessions of grpc-js, which keeps them to itself: Node announces every stream with its
// session. So its calls are bounded as those of the fast path, and clients can be asked to go
// without losing a call (RFC 9113, 6.8): a GOAWAY that names the last call taken, then a moment
// until it is on its way. Clients repeat what came later elsewhere. grpc-js destroys a session
// before its GOAWAY is written, which loses calls; and after a GOAWAY nghttp2 ignores new calls,
// so one that promises more loses them.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  constants,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Calls } from './calls.ts';
import type { Connection } from './connection.ts';
import { LibraryStream } from './librarystream.ts';

const channel = 'http2.server.stream.created';
/** For connections just accepted: their first call shows them here. */
const lingerMs = 20;

export class LibrarySessions {
  readonly #open = new Set<Http2Session>();
  readonly #calls: Calls;
  #isLeaving = false;

  constructor(calls: Calls) {
    this.#calls = calls;
    subscribe(channel, this.#streamCreated);
  }

  /** Before grpc-js has it. */
  own(connection: Connection): void {
    (connection.socket as unknown as Owned)[owner] = connection;
  }

  /** Asks every client to go on elsewhere; resolves when all are told, or after `timeoutMs`. */
  async dismiss(timeoutMs: number): Promise<void> {
    this.#isLeaving = true;
    for (const session of this.#open) dismissOne(session);
    const endMs = performance.now() + timeoutMs;
    do await sleep(Math.min(lingerMs, timeoutMs));
    while ([...this.#open].some(isUntold) && performance.now() < endMs);
    unsubscribe(channel, this.#streamCreated);
  }

  readonly #streamCreated = (message: unknown): void => {
    const { stream, headers } = message as Created;
    const { session } = stream;
    if (session === undefined || session.destroyed) return;
    const connection = ownerOf(session);
    // grpc-js throws on a stream that is closed when it gets it, a tick later.
    if (connection !== undefined) {
      queueMicrotask(() => {
        if (stream.closed || stream.destroyed) return;
        this.#calls.begin(connection, new LibraryStream(stream, headers));
      });
    }
    if (this.#open.has(session)) return;
    this.#open.add(session);
    session.once('close', () => this.#open.delete(session));
    if (this.#isLeaving) dismissOne(session);
  };
}

interface Created {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
}

/**
 * node:http2 gives the socket of a session as a proxy, which passes properties on; that takes
 * time, so once found, the session has it too.
 */
const owner = Symbol('connection');

interface Owned {
  [owner]?: Connection;
}

function ownerOf(session: Http2Session): Connection | undefined {
  const known = (session as Owned)[owner];
  if (known !== undefined) return known;
  const connection = (session.socket as unknown as Owned)[owner];
  if (connection === undefined) return undefined;
  connection.session = {
    get isOver() {
      return session.destroyed || session.closed;
    },
    leave: () => session.goaway(constants.NGHTTP2_NO_ERROR),
    destroy: () => session.destroy(),
  };
  (session as Owned)[owner] = connection;
  return connection;
}

function dismissOne(session: Http2Session): void {
  if (session.closed || session.destroyed) return;
  session.goaway(constants.NGHTTP2_NO_ERROR);
}

/** Node writes frames a turn of the event loop later; a slow reader may hold them up. */
function isUntold(session: Http2Session): boolean {
  return !session.destroyed && (session.state.outboundQueueSize ?? 0) > 0;
}
