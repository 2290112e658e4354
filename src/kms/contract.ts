// The two .proto files as gRPC service definitions, and their messages as
// types. In the bundle the parsed files are built in; from source they are read.
import { fileURLToPath } from 'node:url';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import protobuf from 'protobufjs';

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
  ringRefused: boolean;
  clients: number;
  lastCallUnixMs: number;
}

/** Put in by the bundler: the .proto files, parsed. */
declare const KLEIDI_DESCRIPTORS: protobuf.INamespace | undefined;

// `defaults` matters: without it an empty map or string arrives as undefined.
const options: protobuf.IConversionOptions = { defaults: true, longs: Number };

export interface Contract {
  readonly kms: ServiceDefinition;
  readonly state: ServiceDefinition;
}

export function loadContract(): Contract {
  const root =
    typeof KLEIDI_DESCRIPTORS === 'undefined'
      ? new protobuf.Root().loadSync(protoFiles())
      : protobuf.Root.fromJSON(KLEIDI_DESCRIPTORS);
  return {
    kms: definitionOf(root.lookupService('v2.KeyManagementService')),
    state: definitionOf(root.lookupService('kleidi.v1.StateService')),
  };
}

/** As @grpc/proto-loader does it, which also makes descriptors that nobody asks for. */
function definitionOf(service: protobuf.Service): ServiceDefinition {
  const name = service.fullName.replace(/^\./, '');
  return Object.fromEntries(
    service.methodsArray.map((method) => {
      const request = service.lookupType(method.requestType);
      const response = service.lookupType(method.responseType);
      const definition: MethodDefinition<object, object> = {
        path: `/${name}/${method.name}`,
        requestStream: false,
        responseStream: false,
        requestSerialize: serializer(request),
        requestDeserialize: deserializer(request),
        responseSerialize: serializer(response),
        responseDeserialize: deserializer(response),
      };
      return [method.name, definition];
    }),
  );
}

function serializer(type: protobuf.Type): (message: object) => Buffer {
  // Under Node the bytes are a Buffer.
  return (message) => type.encode(type.fromObject(message)).finish() as Buffer;
}

function deserializer(type: protobuf.Type): (bytes: Buffer) => object {
  return (bytes) => type.toObject(type.decode(bytes), options);
}

function protoFiles(): string[] {
  return ['../../proto/kms/v2/api.proto', '../../proto/kleidi/v1/state.proto'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
}
