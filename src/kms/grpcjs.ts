// Carries calls by grpc-js, the usual implementation of gRPC for Node: `grpc: library` in the
// configuration.
import * as grpc from '@grpc/grpc-js';
import { KleidiError } from '../errors.ts';
import { callsPerConnection, maxMessageBytes } from './bounds.ts';
import type { Connection } from './connection.ts';
import { refusalOf } from './grpcstatus.ts';
import { LibrarySessions } from './librarysessions.ts';
import type { Carrier, CarrierParts, Rpc } from './rpc.ts';
import { contextUntil } from './service.ts';

type Call = grpc.ServerUnaryCall<object, object>;

export class GrpcJs implements Carrier {
  readonly #server: grpc.Server;
  readonly #injector: ReturnType<grpc.Server['createConnectionInjector']>;
  readonly #sessions: LibrarySessions;

  constructor({ rpcs, calls }: CarrierParts) {
    this.#sessions = new LibrarySessions(calls);
    this.#server = new grpc.Server({
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_send_message_length': maxMessageBytes * 16,
      'grpc.max_concurrent_streams': callsPerConnection,
      'grpc.enable_channelz': 0,
    });
    this.#injector = this.#server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    this.#server.addService(
      Object.fromEntries(rpcs.map(({ name, wire }) => [name, wire])),
      Object.fromEntries(rpcs.map((rpc) => [rpc.name, handlerOf(rpc)])),
    );
  }

  serve(connection: Connection): void {
    this.#sessions.own(connection);
    this.#injector.injectConnection(connection.socket);
  }

  dismiss(timeoutMs: number): Promise<void> {
    return this.#sessions.dismiss(timeoutMs);
  }

  async stop(graceMs: number): Promise<void> {
    await Promise.race([
      new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve())),
      new Promise<void>((resolve) => setTimeout(resolve, graceMs).unref()),
    ]);
    this.#server.forceShutdown();
  }
}

function handlerOf(rpc: Rpc): grpc.handleUnaryCall<object, object> {
  return (call, callback) => {
    rpc.answer(call.request, contextOf(call)).then(
      (answer) => callback(null, answer),
      (thrown) => callback(refusalOf(KleidiError.from(thrown))),
    );
  };
}

/** grpc-js has the deadline as a wall clock time, which may be set while the call waits. */
function contextOf(call: Call) {
  const endMs = performance.now() + (Number(call.getDeadline()) - Date.now());
  return contextUntil(endMs, () => call.cancelled);
}
