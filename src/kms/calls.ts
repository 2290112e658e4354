// The open calls over all connections: how many, how much they have sent that is no
// whole request, and for how long. Where too much is open, the connection that makes
// the daemon wait for most gives way: calls in work are left alone, they end by
// themselves. A client that does not take its refusal loses its connection.
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { status } from '@grpc/grpc-js';
import {
  type Bounds,
  maxHeaderBytes,
  refusedCalls,
  stateWeight,
  unfinishedBytes,
} from './bounds.ts';
import { type Connection, isInWork, isUnfinished, type OpenCall } from './connection.ts';

export type Excess = 'open calls' | 'unfinished requests' | 'headers' | 'deadline';

/** Bytes come without an event, so they are looked at while calls are open. */
const lookEveryMs = 50;
const goneWithinMs = 1_000;

export class Calls {
  readonly #bounds: Bounds;
  readonly #exceeded: (excess: Excess) => void;
  /** In the order in which they began. */
  readonly #open = new Set<OpenCall>();
  /** When each was ended here. */
  readonly #ending = new Map<OpenCall, number>();
  #weight = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param exceeded called for each call that was refused or cut */
  constructor(bounds: Bounds, exceeded: (excess: Excess) => void) {
    this.#bounds = bounds;
    this.#exceeded = exceeded;
  }

  /** A stream that grpc-js has just been given. */
  begin(connection: Connection, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    if (stream.closed || stream.destroyed) return;
    const weight = headers[':path'] === '/kleidi.v1.StateService/State' ? stateWeight : 1;
    const call: OpenCall = {
      stream,
      connection,
      startedMs: performance.now(),
      bytesBefore: connection.bytesRead,
      weight,
      whole: stream.readableEnded,
    };
    stream.once('end', () => {
      call.whole = true;
    });
    stream.once('close', () => this.#closed(call));
    this.#add(call);
    if (headerBytes(headers) > maxHeaderBytes) {
      this.#exceeded('headers');
      connection.destroy();
      return;
    }
    while (this.#weight > this.#bounds.openCalls) this.#end(this.#givesWay(call), 'open calls');
  }

  #add(call: OpenCall): void {
    call.connection.calls.add(call);
    this.#open.add(call);
    this.#weight += call.weight;
    this.#timer ??= setInterval(() => this.#look(), lookEveryMs).unref();
  }

  #remove(call: OpenCall): void {
    if (!this.#open.delete(call)) return;
    call.connection.calls.delete(call);
    this.#weight -= call.weight;
  }

  #closed(call: OpenCall): void {
    const ended = this.#open.has(call);
    this.#remove(call);
    // Node frees a stream at the end of the turn, so only then it counts no more.
    if (!ended) setImmediate(() => this.#gone(call));
    const { stream, connection } = call;
    const finished = ended && call.whole && stream.headersSent;
    if (finished && stream.rstCode === constants.NGHTTP2_NO_ERROR) {
      connection.finishedMs = performance.now();
    }
    this.#restIfIdle();
  }

  /** The oldest call that waits for a client with more such calls than this one had. */
  #givesWay(newest: OpenCall): OpenCall {
    const waiting = new Map<Connection, { weight: number; readonly oldest: OpenCall }>();
    for (const call of this.#open) {
      if (call === newest || isInWork(call)) continue;
      const seen = waiting.get(call.connection) ?? { weight: 0, oldest: call };
      seen.weight += call.weight;
      waiting.set(call.connection, seen);
    }
    const own = waiting.get(newest.connection)?.weight ?? 0;
    const most = [...waiting.values()].reduce((a, b) => (b.weight > a.weight ? b : a), {
      weight: own,
      oldest: newest,
    });
    return most.oldest;
  }

  #look(): void {
    const nowMs = performance.now();
    for (const call of this.#open) {
      if (nowMs - call.startedMs < this.#bounds.callMs) break;
      this.#end(call, 'deadline');
    }
    this.#boundBytes();
    for (const [call, endedMs] of this.#ending) {
      if (nowMs - endedMs < goneWithinMs) break;
      call.connection.destroy();
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
      for (const call of connection.calls) {
        if (left <= unfinishedBytes.ofOne && sum <= unfinishedBytes.ofAll) return;
        if (!isUnfinished(call)) continue;
        this.#end(call, 'unfinished requests');
        sum += connection.unfinishedBytes - left;
        left = connection.unfinishedBytes;
      }
    }
  }

  #end(call: OpenCall, excess: Excess): void {
    const { connection } = call;
    this.#remove(call);
    this.#ending.set(call, performance.now());
    connection.refused += 1;
    refuse(call.stream, excess);
    this.#exceeded(excess);
    const { ofOne, ofAll } = refusedCalls;
    if (this.#ending.size > ofAll && connection.refused > ofOne) connection.destroy();
  }

  #gone(call: OpenCall): void {
    if (this.#ending.delete(call)) call.connection.refused -= 1;
    this.#restIfIdle();
  }

  #restIfIdle(): void {
    if (this.#open.size > 0 || this.#ending.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** With a status where none was sent, then RST_STREAM, which frees what the call holds. */
function refuse(stream: ServerHttp2Stream, excess: Excess): void {
  if (stream.closed || stream.destroyed) return;
  if (stream.headersSent) {
    stream.close(constants.NGHTTP2_CANCEL);
    return;
  }
  const late = excess === 'deadline';
  stream.respond(
    {
      ':status': constants.HTTP_STATUS_OK,
      'content-type': 'application/grpc+proto',
      'grpc-status': late ? status.DEADLINE_EXCEEDED : status.RESOURCE_EXHAUSTED,
      'grpc-message': late ? 'the call took too long' : `too much at once: ${excess}`,
    },
    { endStream: true },
  );
  stream.resume();
  stream.close(constants.NGHTTP2_NO_ERROR);
}

function headerBytes(headers: IncomingHttpHeaders): number {
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    bytes += name.length + String(value ?? '').length;
  }
  return bytes;
}
