// The two .proto files as gRPC service definitions, and their messages as
// types. In the bundle the parsed files are built in; from source they are read.
import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';

export interface StatusResponse {
  version: string;
  healthz: string;
  keyId: string;
}
export interface EncryptRequest {
  plaintext: Buffer;
  uid: string;
}
export interface EncryptResponse {
  ciphertext: Buffer;
  keyId: string;
}
export interface DecryptRequest {
  ciphertext: Buffer;
  uid: string;
  keyId: string;
  annotations: Record<string, Buffer>;
}
export interface DecryptResponse {
  plaintext: Buffer;
}

export interface KekReport {
  fp: string;
  check: string;
  state: string;
  provider: string;
  verified: boolean;
  encrypts: number;
  decrypts: number;
  lastDecryptUnixMs: number;
  refusedDecrypts: number;
  lastRefusedUnixMs: number;
}

export interface StateResponse {
  version: string;
  healthz: string;
  failure: string;
  failureCode: string;
  keyId: string;
  keyIdHash: string;
  ring: string;
  ringId: string;
  generation: number;
  keks: KekReport[];
  notices: string[];
  digest: string;
  openableDigest: string;
  providers: string[];
  pid: number;
  startedUnixMs: number;
  selfTestUnixMs: number;
  tokenVerifiedUnixMs: number;
  tokenDamaged: boolean;
  clients: number;
  lastCallUnixMs: number;
}

/** Put in by the bundler: the .proto files, parsed. */
declare const KLEIDI_DESCRIPTORS: Parameters<typeof protoLoader.fromJSON>[0] | undefined;

// `defaults` matters: without it an empty map or string arrives as undefined.
const options: protoLoader.Options = { defaults: true, longs: Number };

export interface Contract {
  readonly kms: ServiceDefinition;
  readonly state: ServiceDefinition;
}

export function loadContract(): Contract {
  const definition =
    typeof KLEIDI_DESCRIPTORS === 'undefined'
      ? protoLoader.loadSync(protoFiles(), options)
      : protoLoader.fromJSON(KLEIDI_DESCRIPTORS, options);
  return {
    kms: definition['v2.KeyManagementService'] as ServiceDefinition,
    state: definition['kleidi.v1.StateService'] as ServiceDefinition,
  };
}

function protoFiles(): string[] {
  return ['../../proto/kms/v2/api.proto', '../../proto/kleidi/v1/state.proto'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
}
