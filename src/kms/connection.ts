// One connection and its open calls, and how it is told to go.
import type { Socket } from 'node:net';
import type { CallStream, CallWatcher } from './callstream.ts';

/** For the GOAWAY to be on its way. */
const lingerMs = 20;
/** One read of Node; what began a request may have come with the end of another. */
const readBytes = 64 * 1024;

export interface OpenCall extends CallWatcher {
  readonly stream: CallStream;
  readonly connection: Connection;
  readonly startedMs: number;
  /** Of the connection, when this call began. */
  readonly bytesBefore: number;
  readonly weight: number;
}

/** What speaks HTTP/2 on a connection. */
interface HttpSession {
  readonly isOver: boolean;
  /** GOAWAY: the client goes on elsewhere. */
  leave(): void;
  /** Takes nothing more either of what was read already. */
  destroy(): void;
}

export class Connection {
  readonly socket: Socket;
  readonly openedMs = performance.now();
  /** In the order in which they began. */
  readonly calls: OpenCall[] = [];
  finishedMs: number | undefined;
  /** Of the last call of KMS v2; zero: none. */
  kmsCallUnixMs = 0;
  session: HttpSession | undefined;
  /** Calls begun in the turn of the event loop of that number. */
  begun = { turn: 0, calls: 0 };

  constructor(socket: Socket) {
    this.socket = socket;
  }

  get bytesRead(): number {
    return this.socket.bytesRead;
  }

  /** Since the oldest request began that has not come whole. */
  get unfinishedBytes(): number {
    const oldest = this.oldestUnfinished();
    if (oldest === undefined) return 0;
    return Math.min(this.bytesRead, this.bytesRead - oldest.bytesBefore + readBytes);
  }

  /** Whether the daemon owes an answer, and not the client the rest of its request. */
  get isServed(): boolean {
    return this.calls.some(isInWork);
  }

  oldestUnfinished(): OpenCall | undefined {
    return this.calls.find(isUnfinished);
  }

  /** Asks the client to go on elsewhere, then closes. What it sends from now on it repeats. */
  leave(): void {
    if (this.session === undefined || this.session.isOver) {
      this.destroy();
      return;
    }
    this.session.leave();
    setTimeout(() => this.destroy(), lingerMs);
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Takes nothing more either of what was read already. */
  cut(): void {
    this.session?.destroy();
    this.destroy();
  }
}

/**
 * Out of an array, and not of a Set: tables that a Set has outgrown keep what was in it alive until
 * the next full collection, and with a few calls at a time one is outgrown every few calls.
 *
 * @returns whether it was there
 */
export function take(call: OpenCall, from: OpenCall[]): boolean {
  const at = from.indexOf(call);
  if (at >= 0) from.splice(at, 1);
  return at >= 0;
}

/** Its request is kept, in part. */
export function isUnfinished({ stream }: OpenCall): boolean {
  return !stream.isWhole && !stream.isAnswered;
}

/** Whole and without an answer yet: it ends by itself. All else waits for the client. */
export function isInWork({ stream }: OpenCall): boolean {
  return stream.isWhole && !stream.isAnswered;
}
