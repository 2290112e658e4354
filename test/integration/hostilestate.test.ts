// Somebody else answers on the socket, with texts that would steer the terminal of
// whoever asks: nothing of them gets through raw.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { loadContract, type StateResponse } from '../../src/kms/contract.ts';
import { TestHost } from '../support/host.ts';

const hostile = '\x1b]0;owned\x07\x1b[2J\x9b1A\u202e';
const answer: StateResponse = {
  version: hostile,
  healthz: hostile,
  failure: hostile,
  failureCode: hostile,
  keyId: hostile,
  keyIdHash: hostile,
  ring: hostile,
  ringId: hostile,
  generation: 1,
  keks: [
    {
      fp: hostile,
      check: hostile,
      state: hostile,
      provider: hostile,
      verified: true,
      encrypts: 0,
      decrypts: 1,
      lastDecryptUnixMs: 0,
      refusedDecrypts: 0,
      lastRefusedUnixMs: 0,
    },
  ],
  notices: [hostile],
  digest: hostile,
  openableDigest: hostile,
  providers: [hostile],
  pid: 1,
  startedUnixMs: 0,
  selfTestUnixMs: 0,
  tokenVerifiedUnixMs: 0,
  tokenDamaged: false,
  ringRefused: false,
  clients: 0,
  lastCallUnixMs: 0,
};

const host = await TestHost.provisioned();
const server = new grpc.Server();
server.addService(loadContract().state, {
  State: (_call: unknown, callback: grpc.sendUnaryData<StateResponse>) => callback(null, answer),
});
await new Promise<void>((resolve, reject) => {
  server.bindAsync(`unix://${host.socket}`, grpc.ServerCredentials.createInsecure(), (error) =>
    error === null ? resolve() : reject(error),
  );
});
after(() => server.forceShutdown());

for (const args of [
  ['status'],
  ['status', '--json'],
  ['doctor'],
  ['doctor', '--json'],
  ['ring', 'digest', '--live'],
  ['key', 'promote', '0'.repeat(32)],
  ['key', 'retire', '0'.repeat(32)],
]) {
  test(`kleidi ${args.join(' ')}`, async () => {
    const { stdout, stderr } = await host.run(...args);
    assert.notEqual(stdout + stderr, '');
    assert.doesNotMatch(stdout + stderr, /[^\P{Cc}\n\t]|\u202e/u);
    if (args.includes('--json')) assert.equal(typeof JSON.parse(stdout), 'object');
  });
}
