// The HTTP/2 sessions that carry calls, so that clients can be asked to go
// without losing a call (RFC 9113, 6.8): a GOAWAY that names the last call taken,
// then a moment until it is on its way. Clients repeat what came later elsewhere.
// grpc-js destroys a session before its GOAWAY is written, which loses calls; and
// after a GOAWAY nghttp2 ignores new calls, so one that promises more loses them.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  constants,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Calls } from './calls.ts';
import { Connection } from './connection.ts';

/** Node announces every stream with its session, whatever carries calls; grpc-js keeps its own to itself. */
const channel = 'http2.server.stream.created';
/** For connections just accepted: their first call shows them here. */
const lingerMs = 20;

export class Sessions {
  readonly #open = new Set<Http2Session>();
  readonly #calls: Calls;
  #leaving = false;

  constructor(calls: Calls) {
    this.#calls = calls;
    subscribe(channel, this.#streamCreated);
  }

  /** Asks every client to go on elsewhere; resolves when all are told, or after `timeoutMs`. */
  async dismiss(timeoutMs: number): Promise<void> {
    this.#leaving = true;
    for (const session of this.#open) dismissOne(session);
    const endMs = performance.now() + timeoutMs;
    do await sleep(Math.min(lingerMs, timeoutMs));
    while ([...this.#open].some(isUntold) && performance.now() < endMs);
    unsubscribe(channel, this.#streamCreated);
  }

  readonly #streamCreated = (message: unknown): void => {
    const { stream, headers } = message as Created;
    const connection = Connection.of(stream);
    // grpc-js throws on a stream that is closed when it gets it, a tick later.
    if (connection !== undefined) {
      queueMicrotask(() => this.#calls.begin(connection, stream, headers));
    }
    const { session } = stream;
    if (session === undefined || this.#open.has(session)) return;
    this.#open.add(session);
    session.once('close', () => this.#open.delete(session));
    if (this.#leaving) dismissOne(session);
  };
}

interface Created {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
}

function dismissOne(session: Http2Session): void {
  if (session.closed || session.destroyed) return;
  session.goaway(constants.NGHTTP2_NO_ERROR);
}

/** Node writes frames a turn of the event loop later; a slow reader may hold them up. */
function isUntold(session: Http2Session): boolean {
  return !session.destroyed && (session.state.outboundQueueSize ?? 0) > 0;
}
