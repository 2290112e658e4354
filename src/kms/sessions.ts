// The HTTP/2 sessions that carry calls, so that clients can be asked to go
// without losing a call (RFC 9113, 6.8): first a GOAWAY that still admits every
// stream on its way to us, and only when the clients have gone the final one.
// grpc-js sends just the final one, which drops calls that cross it.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { constants, type Http2Session, type Http2Stream } from 'node:http2';

/** grpc-js keeps its sessions to itself; Node announces every stream with its session. */
const channel = 'http2.server.stream.created';
const allStreams = 2 ** 31 - 1;

export class Sessions {
  readonly #open = new Set<Http2Session>();
  #leaving = false;
  #emptied: (() => void) | undefined;

  constructor() {
    subscribe(channel, this.#streamCreated);
  }

  /** Asks every client to go on elsewhere; resolves when they have, or after `timeoutMs`. */
  async dismiss(timeoutMs: number): Promise<void> {
    this.#leaving = true;
    for (const session of this.#open) dismissOne(session);
    if (this.#open.size > 0) await this.#emptyWithin(timeoutMs);
    unsubscribe(channel, this.#streamCreated);
  }

  #emptyWithin(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#emptied = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  readonly #streamCreated = (message: unknown): void => {
    const { session } = (message as { stream: Http2Stream }).stream;
    if (session === undefined || this.#open.has(session)) return;
    this.#open.add(session);
    session.once('close', () => this.#closed(session));
    if (this.#leaving) dismissOne(session);
  };

  #closed(session: Http2Session): void {
    this.#open.delete(session);
    if (this.#open.size === 0) this.#emptied?.();
  }
}

function dismissOne(session: Http2Session): void {
  if (session.closed || session.destroyed) return;
  session.goaway(constants.NGHTTP2_NO_ERROR, allStreams);
}
