// One RPC apart from what carries it: the fast path (fastpath.ts) or grpc-js (grpcjs.ts).
import type { Socket } from 'node:net';
import type { MethodDefinition } from '@grpc/grpc-js';
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
  serve(connection: Socket): void;
  /** Ends when clients have gone, which were asked to; cuts what is left after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}
