// The open calls over all connections: how many, how much they have sent that is no
// whole request, and for how long. Where too much is open, the connection that makes
// the daemon wait for most gives way: calls in work are left alone, they end by
// themselves. A client that does not take its refusal loses its connection.
import { errorCode } from '../http2/frame.ts';
import {
  type Bounds,
  callsPerTurn,
  maxHeaderBytes,
  stateWeight,
  unfinishedBytes,
} from './bounds.ts';
import type { CallStream } from './callstream.ts';
import { type Connection, isInWork, isUnfinished, type OpenCall, take } from './connection.ts';
import { type Excess, refuse } from './excess.ts';
import { grpcStatus, type Refusal } from './grpcstatus.ts';

const kmsPath = '/v2.KeyManagementService/';
/**
 * While calls are open: bytes come without an event, and a timer for each call would cost more than
 * all that is done for it here.
 */
const lookEveryMs = 50;
const goneWithinMs = 1_000;
/** Within it clients send all of a request, and take an answer; those at work do. */
const promptMs = 250;

const deadlineExceeded: Refusal = {
  code: grpcStatus.DEADLINE_EXCEEDED,
  details: 'Deadline exceeded',
};

export class Calls {
  readonly #bounds: Bounds;
  readonly #exceeded: (excess: Excess) => void;
  /** In the order in which they began. */
  readonly #open: OpenCall[] = [];
  /** When each was ended here. */
  readonly #ending = new Map<OpenCall, number>();
  #turn = 0;
  #begunInTurn = 0;
  #weight = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param exceeded called for each call that was refused or cut */
  constructor(bounds: Bounds, exceeded: (excess: Excess) => void) {
    this.#bounds = bounds;
    this.#exceeded = exceeded;
  }

  /** A call that has just begun. */
  begin(connection: Connection, stream: CallStream): void {
    const { path, headerBytes } = stream;
    if (path.startsWith(kmsPath)) connection.kmsCallUnixMs = Date.now();
    const weight = path === '/kleidi.v1.StateService/State' ? stateWeight : 1;
    const call: OpenCall = {
      stream,
      connection,
      startedMs: performance.now(),
      bytesBefore: connection.bytesRead,
      weight,
      closed: () => this.#closed(call),
    };
    stream.watch(call);
    this.#add(call);
    if (headerBytes > maxHeaderBytes) {
      this.#exceeded('headers');
      connection.cut();
      return;
    }
    if (this.#isRush(connection)) this.#empty(connection, 'calls at once');
    while (this.#weight > this.#bounds.openCalls) this.#empty(this.#givesWay(call), 'open calls');
  }

  /** Nothing is freed within a turn of the event loop, so what begins in one is bounded too. */
  #isRush({ begun }: Connection): boolean {
    if (this.#begunInTurn === 0) setImmediate(this.#endTurn);
    begun.calls = begun.turn === this.#turn ? begun.calls + 1 : 1;
    begun.turn = this.#turn;
    this.#begunInTurn += 1;
    return this.#begunInTurn > callsPerTurn.ofAll && begun.calls > callsPerTurn.ofOne;
  }

  // Made once: see StreamListener of http2.
  readonly #endTurn = (): void => {
    this.#turn += 1;
    this.#begunInTurn = 0;
  };

  /** All but calls in work; with none, the connection is closed, which costs least. */
  #empty(connection: Connection, excess: Excess): void {
    this.#exceeded(excess);
    const { isServed } = connection;
    for (const call of [...connection.calls]) {
      if (isInWork(call)) continue;
      this.#remove(call);
      if (!isServed) continue;
      this.#ending.set(call, performance.now());
      call.stream.reset(errorCode.cancel);
    }
    if (!isServed) connection.cut();
  }

  #add(call: OpenCall): void {
    call.connection.calls.push(call);
    this.#open.push(call);
    this.#weight += call.weight;
    this.#timer ??= setInterval(() => this.#look(), lookEveryMs).unref();
  }

  /** @returns whether it was open */
  #remove(call: OpenCall): boolean {
    if (!take(call, this.#open)) return false;
    take(call, call.connection.calls);
    this.#weight -= call.weight;
    return true;
  }

  #closed(call: OpenCall): void {
    const ended = this.#remove(call);
    this.#ending.delete(call);
    const { stream, connection } = call;
    if (ended && stream.isWhole && stream.isAnswered && !stream.isReset) {
      connection.finishedMs = performance.now();
    }
  }

  /** The one that keeps the daemon waiting most; a client at work never does for long. */
  #givesWay(newest: OpenCall): Connection {
    const nowMs = performance.now();
    const found = this.#greediest(nowMs - promptMs, newest) ?? this.#greediest(nowMs, newest);
    return found ?? newest.connection;
  }

  /** By calls that wait for their client since before then. */
  #greediest(beforeMs: number, newest: OpenCall): Connection | undefined {
    const waiting = new Map<Connection, number>();
    for (const call of this.#open) {
      if (call.startedMs > beforeMs) break;
      if (call === newest || isInWork(call)) continue;
      waiting.set(call.connection, (waiting.get(call.connection) ?? 0) + call.weight);
    }
    return [...waiting].reduce<readonly [Connection?, number?]>(
      (a, b) => (b[1] > (a[1] ?? 0) ? b : a),
      [],
    )[0];
  }

  #look(): void {
    this.#restIfIdle();
    const nowMs = performance.now();
    for (const call of [...this.#open]) {
      if (nowMs - call.startedMs >= this.#bounds.callMs) this.#end(call, 'deadline');
      else if (nowMs >= call.stream.endMs) call.stream.refuse(deadlineExceeded);
    }
    this.#boundBytes();
    for (const [call, endedMs] of this.#ending) {
      if (nowMs - endedMs < goneWithinMs) break;
      call.connection.cut();
    }
  }

  #boundBytes(): void {
    const bytes = new Map<Connection, number>();
    for (const call of this.#open) {
      const { connection } = call;
      if (isUnfinished(call) && !bytes.has(connection))
        bytes.set(connection, connection.unfinishedBytes);
    }
    let sum = [...bytes.values()].reduce((a, b) => a + b, 0);
    for (const [connection, had] of [...bytes].sort(([, a], [, b]) => b - a)) {
      let left = had;
      for (const call of [...connection.calls]) {
        if (left <= unfinishedBytes.ofOne && sum <= unfinishedBytes.ofAll) return;
        if (!isUnfinished(call)) continue;
        this.#end(call, 'unfinished requests');
        sum += connection.unfinishedBytes - left;
        left = connection.unfinishedBytes;
      }
    }
  }

  #end(call: OpenCall, excess: Excess): void {
    this.#remove(call);
    this.#ending.set(call, performance.now());
    refuse(call.stream, excess);
    this.#exceeded(excess);
  }

  /** Here, and not when a call ends: with one call at a time each would set a timer anew. */
  #restIfIdle(): void {
    if (this.#open.length > 0 || this.#ending.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
