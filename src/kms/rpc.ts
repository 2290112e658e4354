// One RPC apart from what carries it: the fast path (fastpath.ts) or grpc-js (grpcjs.ts).
import type { MethodDefinition } from '@grpc/grpc-js';
import type { Calls } from './calls.ts';
import type { Connection } from './connection.ts';
import type { CallContext } from './service.ts';

export interface Rpc {
  readonly name: string;
  /** Its path, and its messages as bytes. */
  readonly wire: MethodDefinition<object, object>;
  /** Rejects with KleidiError: what the client is told. */
  answer(request: object, context: CallContext): Promise<object>;
}

/** What speaks gRPC on connections, for all of them. */
export interface Carrier {
  /** Speaks gRPC on this connection from now on. */
  serve(connection: Connection): void;
  /** Asks every client to go on elsewhere; resolves when all are told, or after `timeoutMs`. */
  dismiss(timeoutMs: number): Promise<void>;
  /** Ends when clients have gone, which were asked to; cuts what is left after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

export interface CarrierParts {
  readonly rpcs: readonly Rpc[];
  /** Each call is announced to it when it begins. */
  readonly calls: Calls;
  /** What carries calls has a fault: the connection was cut. */
  readonly broken: (thrown: unknown) => void;
}
