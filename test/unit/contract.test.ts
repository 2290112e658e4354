// The contract reads and writes the bytes that the usual loader of .proto files does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';
import { loadContract } from '../../src/kms/contract.ts';

const files = ['proto/kms/v2/api.proto', 'proto/kleidi/v1/state.proto'].map((path) =>
  fileURLToPath(new URL(`../../${path}`, import.meta.url)),
);
const usual = protoLoader.loadSync(files, { defaults: true, longs: Number });
const { kms, state } = loadContract();

/** Fields of every message; each message takes those that it has. */
const fields = {
  version: 'v2',
  healthz: 'ok',
  keyId: 'k1.é',
  uid: 'u',
  plaintext: Buffer.from([0, 255]),
  ciphertext: Buffer.alloc(300, 7),
  annotations: { a: Buffer.from('x'), b: Buffer.alloc(0) },
  generation: 2 ** 40 + 1,
  keks: [{ fp: 'f', verified: true, encrypts: 2 ** 33, lastDecryptUnixMs: 1_790_000_000_000 }, {}],
  notices: ['n', ''],
  tokenDamaged: true,
  pid: 7,
};

for (const [name, own] of [
  ['v2.KeyManagementService', kms],
  ['kleidi.v1.StateService', state],
] as const) {
  const other = usual[name] as ServiceDefinition;

  test(`${name}: the same methods`, () => {
    assert.deepEqual(Object.keys(own).sort(), Object.keys(other).sort());
    for (const method of Object.keys(own)) assert.equal(own[method]?.path, other[method]?.path);
  });

  for (const method of Object.keys(other)) {
    test(`${name}.${method}: full and empty messages`, () => {
      const [ours, theirs] = [own[method], other[method]];
      assert.ok(ours !== undefined && theirs !== undefined);
      for (const message of [fields, {}]) {
        const request = theirs.requestSerialize(message);
        const response = theirs.responseSerialize(message);
        assert.deepEqual(ours.requestSerialize(message), request);
        assert.deepEqual(ours.responseSerialize(message), response);
        assert.deepEqual(ours.requestDeserialize(request), theirs.requestDeserialize(request));
        assert.deepEqual(ours.responseDeserialize(response), theirs.responseDeserialize(response));
      }
      assert.throws(() => ours.requestDeserialize(Buffer.from([0x0a, 0x7f])));
    });
  }
}
