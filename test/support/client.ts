// A KMS v2 client that knows the public .proto and nothing else of kleidi.

import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';

export interface Status {
  version: string;
  healthz: string;
  keyId: string;
}
export interface Encrypted {
  ciphertext: Buffer;
  keyId: string;
  annotations: Record<string, Buffer>;
}

const proto = fileURLToPath(new URL('../../proto/kms/v2/api.proto', import.meta.url));

/** As kube-apiserver connects: one HTTP/2 connection, authority localhost. */
export class KmsClient {
  readonly grpc: grpc.Client;
  readonly #service: grpc.ServiceDefinition;

  constructor(socket: string, options: grpc.ChannelOptions = {}) {
    const loaded = protoLoader.loadSync(proto, { defaults: true });
    this.#service = loaded['v2.KeyManagementService'] as grpc.ServiceDefinition;
    this.grpc = new grpc.Client(`unix://${socket}`, grpc.credentials.createInsecure(), {
      'grpc.default_authority': 'localhost',
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 200,
      ...options,
    });
    after(() => this.grpc.close());
  }

  status(): Promise<Status> {
    return this.call<Status>('Status', {});
  }

  encrypt(plaintext: Buffer, uid = 'test'): Promise<Encrypted> {
    return this.call<Encrypted>('Encrypt', { plaintext, uid });
  }

  async decrypt(ciphertext: Buffer, keyId: string, annotations = {}): Promise<Buffer> {
    const request = { ciphertext, uid: 'test', keyId, annotations };
    return (await this.call<{ plaintext: Buffer }>('Decrypt', request)).plaintext;
  }

  /** Rejects with grpc.ServiceError: its `code` and `details` are what tests look at. */
  call<T>(method: string, request: object, timeoutMs = 30_000): Promise<T> {
    const definition = this.#service[method];
    if (definition === undefined) throw new Error(`no method ${method}`);
    const { path, requestSerialize, responseDeserialize } = definition;
    return new Promise((resolve, reject) => {
      this.grpc.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new grpc.Metadata({ waitForReady: true }),
        { deadline: Date.now() + timeoutMs },
        (error, response) => (error === null ? resolve(response as T) : reject(error)),
      );
    });
  }

  close(): void {
    this.grpc.close();
  }
}
