// Carries unary calls on kleidi's own HTTP/2 (src/http2), for less than grpc-js takes
// (docs/performance.md). It serves what kleidi has, one message each way, by the same rules
// (PROTOCOL-HTTP2.md in doc/ of grpc/grpc).
import { setTimeout as sleep } from 'node:timers/promises';
import type { RequestHead } from '../http2/requesthead.ts';
import { Session, type SessionParts } from '../http2/session.ts';
import type { Stream } from '../http2/stream.ts';
import { repeatedFields } from './answer.ts';
import { callsPerConnection, maxHeaderBytes, maxMessageBytes } from './bounds.ts';
import type { Connection } from './connection.ts';
import { FastCall } from './fastcall.ts';
import { grpcStatus, type Refusal } from './grpcstatus.ts';
import type { Carrier, CarrierParts, Rpc } from './rpc.ts';

const methodNotAllowed = 405;
const unsupportedMediaType = 415;
/**
 * For clients to take their GOAWAY, and for connections just accepted, whose first call is taken.
 * What a client sends to a connection that is closed already is lost to it.
 */
const lingerMs = 20;
const lookEveryMs = 5;

const limits: SessionParts['limits'] = {
  streams: callsPerConnection,
  // Room for a message that is too large: its refusal says how large.
  bodyBytes: 2 * maxMessageBytes,
  headBytes: maxHeaderBytes,
};

export class FastPath implements Carrier {
  readonly #parts: CarrierParts;
  readonly #rpcs: ReadonlyMap<string, Rpc>;
  readonly #sessions = new Map<Session, Connection>();
  #isLeaving = false;

  constructor(parts: CarrierParts) {
    this.#parts = parts;
    this.#rpcs = new Map(parts.rpcs.map((rpc) => [rpc.wire.path, rpc]));
  }

  serve(connection: Connection): void {
    const session = new Session(connection.socket, {
      limits,
      repeated: repeatedFields,
      begin: (stream) => this.#begin(connection, stream),
      failed: this.#parts.broken,
    });
    connection.session = session;
    this.#sessions.set(session, connection);
    connection.socket.once('close', () => this.#sessions.delete(session));
  }

  async dismiss(timeoutMs: number): Promise<void> {
    this.#isLeaving = true;
    for (const session of this.#sessions.keys()) session.leave();
    const endMs = performance.now() + timeoutMs;
    do await sleep(Math.min(lingerMs, timeoutMs));
    while (this.#isAnyUntold() && performance.now() < endMs);
  }

  async stop(graceMs: number): Promise<void> {
    const endMs = performance.now() + graceMs;
    for (const session of this.#sessions.keys()) session.finish();
    while (this.#sessions.size > 0 && performance.now() < endMs) await sleep(lookEveryMs);
    for (const connection of this.#sessions.values()) connection.cut();
  }

  #isAnyUntold(): boolean {
    return [...this.#sessions.keys()].some((session) => session.hasUnwritten);
  }

  #begin(connection: Connection, stream: Stream): void {
    const call = new FastCall(stream);
    this.#parts.calls.begin(connection, call);
    if (this.#isLeaving) connection.session?.leave();
    const { head } = stream;
    const httpStatus = httpRefusalOf(head);
    if (httpStatus !== undefined) {
      call.refuseHttp(httpStatus);
      return;
    }
    const rpc = this.#rpcs.get(call.path);
    const timeoutMs = timeoutOf(head.get('grpc-timeout'));
    const refusal = refusalOfEncoding(head) ?? refusalOfTimeout(timeoutMs);
    if (rpc === undefined) call.refuse(noSuchMethod);
    else if (refusal === undefined) call.take(rpc, timeoutMs);
    else call.refuse(refusal);
  }
}

const noSuchMethod: Refusal = {
  code: grpcStatus.UNIMPLEMENTED,
  details: 'kleidi has no such method',
};

/** For what is no gRPC: a status of HTTP. */
function httpRefusalOf(head: RequestHead): number | undefined {
  if (head.get(':method') !== 'POST') return methodNotAllowed;
  const isGrpc = /^application\/grpc(?:$|[+;])/.test(head.get('content-type') ?? '');
  return isGrpc ? undefined : unsupportedMediaType;
}

function refusalOfEncoding(head: RequestHead): Refusal | undefined {
  const encoding = head.get('grpc-encoding');
  if (encoding === undefined || encoding === 'identity') return undefined;
  const details = `messages compressed by ${encoding} are not taken`;
  return { code: grpcStatus.UNIMPLEMENTED, details };
}

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Infinity: none. NaN: it is none of gRPC's. */
function timeoutOf(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const isSound = /^\d{1,8}[HMSmun]$/.test(text);
  return isSound ? Number(text.slice(0, -1)) * (unitMs[text.slice(-1)] ?? Number.NaN) : Number.NaN;
}

function refusalOfTimeout(timeoutMs: number): Refusal | undefined {
  if (!Number.isNaN(timeoutMs)) return undefined;
  return { code: grpcStatus.INTERNAL, details: 'the grpc-timeout is not one of gRPC' };
}
