// The open connections. Each is let in: at the limit, the one that has gone longest
// without finishing a call makes room. A dead peer cannot be on a Unix socket, so
// nothing is pinged, and what has finished calls may be idle for as long as it likes.
import type { Socket } from 'node:net';
import { Connection } from './connection.ts';

/** The preface of HTTP/2 and an empty SETTINGS frame (RFC 9113, 3.4): clients speak first. */
const prefaceBytes = 24 + 9;
const silenceMs = 5_000;
/** Without a call: kube-apiserver asks for Status once a minute and more often. */
const unusedMs = 120_000;
/** Told to go and not gone yet; each holds a file descriptor. */
const maxLeaving = 64;

export interface Callers {
  /** Connections open now that have called KMS v2. */
  readonly clients: number;
  /** Of the last such call of any connection; zero: none yet. */
  readonly lastCallUnixMs: number;
}

export class Connections {
  readonly #limit: number;
  readonly #full: () => void;
  readonly #open = new Set<Connection>();
  readonly #leaving = new Set<Connection>();
  /** Of connections that are closed. */
  #lastCallUnixMs = 0;

  /** @param full called when a connection had to make room */
  constructor(limit: number, full: () => void) {
    this.#limit = limit;
    this.#full = full;
  }

  admit(socket: Socket): Connection {
    if (this.#open.size >= this.#limit) this.#makeRoom();
    const connection = new Connection(socket);
    this.#open.add(connection);
    const timer = setTimeout(() => {
      if (socket.bytesRead < prefaceBytes) connection.destroy();
    }, silenceMs);
    const unused = setTimeout(() => this.#endIfUnused(connection), unusedMs);
    socket.once('close', () => {
      clearTimeout(timer);
      clearTimeout(unused);
      this.#open.delete(connection);
      this.#leaving.delete(connection);
      this.#lastCallUnixMs = Math.max(this.#lastCallUnixMs, connection.kmsCallUnixMs);
    });
    return connection;
  }

  get count(): number {
    return this.#open.size;
  }

  /** Who asks for State alone, as kleidi's own commands do, is none of them. */
  callers(): Callers {
    const times = [...this.#open, ...this.#leaving].map((each) => each.kmsCallUnixMs);
    return {
      clients: times.filter((unixMs) => unixMs > 0).length,
      lastCallUnixMs: Math.max(this.#lastCallUnixMs, ...times),
    };
  }

  #endIfUnused(connection: Connection): void {
    if (connection.finishedMs === undefined && !connection.isServed) connection.leave();
  }

  #makeRoom(): void {
    const goes = [...this.#open].reduce((a, b) => (staysRatherThan(a, b) ? b : a));
    this.#open.delete(goes);
    this.#leaving.add(goes);
    goes.leave();
    const [first] = this.#leaving;
    if (this.#leaving.size > maxLeaving && first !== undefined) {
      this.#leaving.delete(first);
      first.destroy();
    }
    this.#full();
  }
}

/** In the order of the lists: what differs first decides. */
function staysRatherThan(a: Connection, b: Connection): boolean {
  const [one, other] = [claimOf(a), claimOf(b)];
  const at = one.findIndex((claim, i) => claim !== other[i]);
  return at >= 0 && (one[at] ?? 0) > (other[at] ?? 0);
}

/** Calls in work; then whether it has had its time without ever finishing one; then since when. */
function claimOf(connection: Connection): readonly number[] {
  const { finishedMs, openedMs } = connection;
  const neverUsed = finishedMs === undefined && performance.now() - openedMs >= silenceMs;
  return [Number(connection.isServed), Number(!neverUsed), finishedMs ?? openedMs];
}
