// gRPC on connections that the host side accepts: turns messages of KMS v2 into calls of the
// service, whatever carries them. One line per kind of failed call in ten seconds, none per
// successful one above debug.
import type { Socket } from 'node:net';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { KleidiError } from '../errors.ts';
import { isKeyId, keyIdHash } from '../keyring/keyid.ts';
import type { Log } from '../log.ts';
import type { Bounds } from './bounds.ts';
import { CallCounts } from './callcounts.ts';
import { Calls } from './calls.ts';
import { Connections } from './connections.ts';
import * as contract from './contract.ts';
import { FastPath } from './fastpath.ts';
import type { Carrier, CarrierParts, Rpc } from './rpc.ts';
import type { CallContext, KmsService } from './service.ts';
import { SparingLog } from './sparinglog.ts';
import type { KnownState } from './state.ts';

/** For clients that do not read: all others have their GOAWAY within milliseconds. */
const dismissMs = 500;
const maxUidCharacters = 64;

type Unary<Request, Response> = (
  request: Request,
  context: CallContext,
) => Response | Promise<Response>;

/** For the metrics. */
export interface Traffic {
  readonly counts: CallCounts;
  readonly connections: number;
  /** Encrypt and Decrypt calls that wait for the token or are in it. */
  readonly inWork: number;
}

export interface KmsServerParts {
  readonly service: KmsService;
  readonly state: () => KnownState;
  readonly log: Log;
  readonly bounds: Bounds;
  /** What carries calls: fastpath.ts, or grpc-js. */
  readonly grpc: 'fast' | 'library';
}

export class KmsServer {
  readonly #parts: KmsServerParts;
  readonly #counts = new CallCounts();
  readonly #carrier: Carrier;
  readonly #connections: Connections;
  readonly #sparing: SparingLog;

  private constructor(parts: KmsServerParts, makeCarrier: new (parts: CarrierParts) => Carrier) {
    const { bounds, log } = parts;
    this.#parts = parts;
    this.#sparing = new SparingLog(log);
    this.#connections = new Connections(bounds.connections, () => {
      this.#counts.displaced += 1;
      this.#sparing.event('connections-full', '', {});
    });
    const calls = new Calls(bounds, (reason) => {
      this.#counts.cut(reason);
      this.#sparing.event('calls-bounded', reason, { reason });
    });
    const broken = (thrown: unknown): void => this.#logBroken(thrown);
    this.#carrier = new makeCarrier({ rpcs: this.#rpcs(), calls, broken });
  }

  static async open(parts: KmsServerParts): Promise<KmsServer> {
    // grpc-js is loaded only where it is asked for.
    if (parts.grpc === 'fast') return new KmsServer(parts, FastPath);
    const { GrpcJs } = await import('./grpcjs.ts');
    return new KmsServer(parts, GrpcJs);
  }

  /** Speaks gRPC on this connection from now on. */
  serve(connection: Socket): void {
    this.#carrier.serve(this.#connections.admit(connection));
  }

  traffic(): Traffic {
    const { inWork } = this.#parts.service;
    return { counts: this.#counts, connections: this.#connections.count, inWork };
  }

  /** Lets clients go without losing a call, then cuts what is left after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const startMs = performance.now();
    await this.#carrier.dismiss(Math.min(dismissMs, graceMs));
    await this.#carrier.stop(graceMs - (performance.now() - startMs));
  }

  #rpcs(): readonly Rpc[] {
    const { service, state } = this.#parts;
    const { kms, state: stateService } = contract.loadContract();
    return [
      this.#rpc<object, contract.StatusResponse>(kms, 'Status', () => {
        const { healthz, keyId } = service.status();
        return { version: 'v2', healthz, keyId };
      }),
      this.#rpc<contract.EncryptRequest, contract.EncryptResponse>(
        kms,
        'Encrypt',
        ({ plaintext }, context) => service.encrypt(plaintext, context),
      ),
      this.#rpc<contract.DecryptRequest, contract.DecryptResponse>(
        kms,
        'Decrypt',
        async ({ ciphertext, keyId, annotations }, context) => {
          requireNoAnnotations(annotations);
          return { plaintext: await service.decrypt(ciphertext, keyId, context) };
        },
      ),
      this.#rpc<object, contract.StateResponse>(stateService, 'State', () => ({
        ...state(),
        ...this.#connections.callers(),
      })),
    ];
  }

  #rpc<Request, Response extends object>(
    service: ServiceDefinition,
    name: string,
    method: Unary<Request, Response>,
  ): Rpc {
    const wire = service[name] as MethodDefinition<object, object>;
    const answer = async (request: object, context: CallContext): Promise<Response> => {
      const startMs = performance.now();
      try {
        const response = await method(request as Request, context);
        const ms = performance.now() - startMs;
        this.#counts.answered(name, 'OK', ms);
        this.#logSuccess(name, request, ms);
        return response;
      } catch (thrown) {
        const error = KleidiError.from(thrown);
        this.#counts.answered(name, error.kind.grpc, performance.now() - startMs);
        this.#logFailure(name, request, error);
        throw error;
      }
    };
    return { name, wire, answer };
  }

  #logSuccess(rpc: string, request: unknown, ms: number): void {
    if (!this.#parts.log.wants('call-answered')) return;
    this.#parts.log.event('call-answered', { rpc, uid: uidOf(request), ms: Number(ms.toFixed(3)) });
  }

  /** No call of a client's should come to it; the client has lost its connection. */
  #logBroken(thrown: unknown): void {
    const error = KleidiError.from(thrown);
    this.#sparing.event(
      'call-failed',
      undefined,
      { code: error.code },
      `refused: ${error.message}`,
    );
  }

  #logFailure(rpc: string, request: unknown, error: KleidiError): void {
    const kind = error.code === 'internal' ? undefined : error.code;
    const fields = { rpc, uid: uidOf(request), ...keyIdOf(request), code: error.code };
    this.#sparing.event('call-failed', kind, fields, `${rpc} refused: ${error.message}`);
  }
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
