// Carries unary calls straight on node:http2, for less than grpc-js takes (docs/performance.md).
// It serves what kleidi has, one message each way, by the same rules (PROTOCOL-HTTP2.md
// in doc/ of grpc/grpc). What all clients together may hold is bounded by calls.ts and
// connections.ts, which look at streams whoever serves them.
import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith, refuseHttp } from './answer.ts';
import { callsPerConnection } from './bounds.ts';
import { FastCall } from './fastcall.ts';
import { grpcStatus, type Refusal } from './grpcstatus.ts';
import type { Carrier, Rpc } from './rpc.ts';

export class FastPath implements Carrier {
  readonly #rpcs: ReadonlyMap<string, Rpc>;
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(rpcs: readonly Rpc[]) {
    this.#rpcs = new Map(rpcs.map((rpc) => [rpc.wire.path, rpc]));
    this.#server = createServer({
      // What a connection may hold is bounded in calls.ts, which knows who keeps whom waiting.
      maxSessionMemory: Number.MAX_SAFE_INTEGER,
      settings: { maxConcurrentStreams: callsPerConnection, enablePush: false },
    });
    this.#server.on('stream', (stream, headers) => this.#begin(stream, headers));
    this.#server.on('session', (session) => this.#admit(session));
    // A client that breaks the protocol has lost its session, and nobody else's.
    this.#server.on('sessionError', () => undefined);
  }

  serve(connection: Socket): void {
    this.#server.emit('connection', connection);
  }

  async stop(graceMs: number): Promise<void> {
    const closed = [...this.#sessions].map(
      (session) => new Promise<void>((resolve) => session.close(resolve)),
    );
    await Promise.race([Promise.all(closed), sleep(graceMs, undefined, { ref: false })]);
    for (const session of this.#sessions) session.destroy();
  }

  #admit(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.on('close', () => this.#sessions.delete(session));
  }

  #begin(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // `close` tells of its end, as of any other.
    stream.on('error', ignored);
    const httpStatus = httpRefusalOf(headers);
    if (httpStatus !== undefined) {
      refuseHttp(stream, httpStatus);
      return;
    }
    const rpc = this.#rpcs.get(headers[':path'] ?? '');
    if (rpc === undefined) {
      endWith(stream, { code: grpcStatus.UNIMPLEMENTED, details: 'kleidi has no such method' });
      return;
    }
    const timeoutMs = timeoutOf(headers['grpc-timeout']);
    const refusal = refusalOfEncoding(headers) ?? refusalOfTimeout(timeoutMs);
    if (refusal === undefined) FastCall.begin(stream, rpc, timeoutMs);
    else endWith(stream, refusal);
  }
}

function ignored(): void {
  // On purpose.
}

/** For what is no gRPC: a status of HTTP. */
function httpRefusalOf(headers: IncomingHttpHeaders): number | undefined {
  if (headers[':method'] !== 'POST') return constants.HTTP_STATUS_METHOD_NOT_ALLOWED;
  const isGrpc = /^application\/grpc(?:$|[+;])/.test(headers['content-type'] ?? '');
  return isGrpc ? undefined : constants.HTTP_STATUS_UNSUPPORTED_MEDIA_TYPE;
}

function refusalOfEncoding(headers: IncomingHttpHeaders): Refusal | undefined {
  const encoding = headers['grpc-encoding'];
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
function timeoutOf(header: string | string[] | undefined): number {
  if (header === undefined) return Number.POSITIVE_INFINITY;
  const text = String(header);
  const isSound = /^\d{1,8}[HMSmun]$/.test(text);
  return isSound ? Number(text.slice(0, -1)) * (unitMs[text.slice(-1)] ?? Number.NaN) : Number.NaN;
}

function refusalOfTimeout(timeoutMs: number): Refusal | undefined {
  if (!Number.isNaN(timeoutMs)) return undefined;
  return { code: grpcStatus.INTERNAL, details: 'the grpc-timeout is not one of gRPC' };
}
