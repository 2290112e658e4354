// gRPC on connections that the host side accepts: turns KMS v2 messages into
// calls of the service and its errors into gRPC statuses. One line per kind of
// failed call in ten seconds, none per successful one above debug.

import type { Socket } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { KleidiError } from '../errors.ts';
import { isKeyId, keyIdHash } from '../keyring/keyid.ts';
import type { Log } from '../log.ts';
import { type Bounds, callsPerConnection, maxMessageBytes } from './bounds.ts';
import { CallCounts } from './callcounts.ts';
import { Calls } from './calls.ts';
import { Connections } from './connections.ts';
import * as contract from './contract.ts';
import type { CallContext, KmsService } from './service.ts';
import { Sessions } from './sessions.ts';
import { SparingLog } from './sparinglog.ts';
import type { KnownState } from './state.ts';

/** For clients that do not read: all others have their GOAWAY within milliseconds. */
const dismissMs = 500;
const maxUidCharacters = 64;

type Unary<Request, Response> = (
  call: grpc.ServerUnaryCall<Request, Response>,
) => Response | Promise<Response>;

/** For the metrics. */
export interface Traffic {
  readonly counts: CallCounts;
  readonly connections: number;
  /** Encrypt and Decrypt calls that wait for the token or are in it. */
  readonly inWork: number;
}

export class KmsServer {
  readonly #service: KmsService;
  readonly #counts = new CallCounts();
  readonly #server: grpc.Server;
  readonly #injector: ReturnType<grpc.Server['createConnectionInjector']>;
  readonly #connections: Connections;
  readonly #sessions: Sessions;
  readonly #log: Log;
  readonly #sparing: SparingLog;

  constructor(service: KmsService, state: () => KnownState, log: Log, bounds: Bounds) {
    this.#service = service;
    this.#log = log;
    this.#sparing = new SparingLog(log);
    this.#connections = new Connections(bounds.connections, () => {
      this.#counts.displaced += 1;
      this.#sparing.event('connections-full', '', {});
    });
    const calls = new Calls(bounds, (reason) => {
      this.#counts.cut(reason);
      this.#sparing.event('calls-bounded', reason, { reason });
    });
    this.#sessions = new Sessions(calls);
    this.#server = new grpc.Server({
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_send_message_length': maxMessageBytes * 16,
      'grpc.max_concurrent_streams': callsPerConnection,
      'grpc.enable_channelz': 0,
    });
    this.#injector = this.#server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    const { kms, state: stateService } = contract.loadContract();
    this.#server.addService(kms, this.#kmsMethods(service));
    this.#server.addService(stateService, {
      State: this.#unary('State', () => ({ ...state(), ...this.#connections.callers() })),
    });
  }

  /** Speaks gRPC on this connection from now on. */
  serve(connection: Socket): void {
    this.#connections.admit(connection);
    this.#injector.injectConnection(connection);
  }

  traffic(): Traffic {
    const { inWork } = this.#service;
    return { counts: this.#counts, connections: this.#connections.count, inWork };
  }

  /** Lets clients go without losing a call, then cuts what is left after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const startMs = performance.now();
    await this.#sessions.dismiss(Math.min(dismissMs, graceMs));
    const leftMs = graceMs - (performance.now() - startMs);
    await Promise.race([
      new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve())),
      new Promise<void>((resolve) => setTimeout(resolve, leftMs).unref()),
    ]);
    this.#server.forceShutdown();
  }

  #kmsMethods(service: KmsService): grpc.UntypedServiceImplementation {
    return {
      Status: this.#unary<object, contract.StatusResponse>('Status', () => {
        const { healthz, keyId } = service.status();
        return { version: 'v2', healthz, keyId };
      }),
      Encrypt: this.#unary<contract.EncryptRequest, contract.EncryptResponse>('Encrypt', (call) =>
        service.encrypt(call.request.plaintext, contextOf(call)),
      ),
      Decrypt: this.#unary<contract.DecryptRequest, contract.DecryptResponse>('Decrypt', (call) => {
        const { ciphertext, keyId, annotations } = call.request;
        requireNoAnnotations(annotations);
        const plaintext = service.decrypt(ciphertext, keyId, contextOf(call));
        return plaintext.then((opened) => ({ plaintext: opened }));
      }),
    };
  }

  #unary<Request, Response>(
    name: string,
    method: Unary<Request, Response>,
  ): grpc.handleUnaryCall<Request, Response> {
    return async (call, callback) => {
      const startMs = performance.now();
      try {
        const response = await method(call);
        callback(null, response);
        const ms = performance.now() - startMs;
        this.#counts.answered(name, 'OK', ms);
        this.#logSuccess(name, call.request, ms);
      } catch (thrown) {
        const error = KleidiError.from(thrown);
        callback({ code: grpc.status[error.kind.grpc], details: error.publicText });
        this.#counts.answered(name, error.kind.grpc, performance.now() - startMs);
        this.#logFailure(name, call.request, error);
      }
    };
  }

  #logSuccess(rpc: string, request: unknown, ms: number): void {
    if (!this.#log.wants('call-answered')) return;
    this.#log.event('call-answered', { rpc, uid: uidOf(request), ms: Number(ms.toFixed(3)) });
  }

  #logFailure(rpc: string, request: unknown, error: KleidiError): void {
    const kind = error.code === 'internal' ? undefined : error.code;
    const fields = { rpc, uid: uidOf(request), ...keyIdOf(request), code: error.code };
    this.#sparing.event('call-failed', kind, fields, `${rpc} refused: ${error.message}`);
  }
}

function contextOf(call: grpc.ServerUnaryCall<unknown, unknown>): CallContext {
  // grpc-js has it as a wall clock time, which may be set while the call waits.
  const endMs = performance.now() + (Number(call.getDeadline()) - Date.now());
  return {
    over() {
      if (call.cancelled) return new KleidiError('cancelled', 'the client cancelled the request');
      return performance.now() >= endMs
        ? new KleidiError('deadline', 'the deadline of the request has passed')
        : undefined;
    },
  };
}

/** kleidi issues none; where some appear, somebody has edited etcd. */
function requireNoAnnotations(annotations: Record<string, Buffer>): void {
  if (Object.keys(annotations).length === 0) return;
  throw new KleidiError('request-invalid', 'the request carries annotations, kleidi issues none');
}

/** Sent by the client, so cut short and without control characters. */
function uidOf(request: unknown): string | undefined {
  if (typeof request !== 'object' || request === null || !('uid' in request)) return undefined;
  return String(request.uid)
    .slice(0, maxUidCharacters)
    .replace(/[^\x20-\x7e]/g, '?');
}

/** Sent by the client too: named only where it is one that kleidi could have issued. */
function keyIdOf(request: unknown): { keyId?: string; keyIdHash?: string } {
  if (typeof request !== 'object' || request === null || !('keyId' in request)) return {};
  const keyId = String(request.keyId);
  return isKeyId(keyId) ? { keyId, keyIdHash: keyIdHash(keyId) } : {};
}
