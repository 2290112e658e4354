// How long a client that comes last waits for Encrypt, beside connections that take
// all that they are given: none, 512 idle ones, and 512 with 100 unfinished calls each.
//
//   node --test test/bench/bounds.bench.ts
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { RawConnection } from '../support/rawhttp2.ts';

const connections = 512;
const rounds = 50;

const host = await TestHost.provisioned();
const daemon = await host.serve();

async function greedy(calls: number): Promise<RawConnection[]> {
  const made: RawConnection[] = [];
  for (let i = 0; i < connections; i += 1) {
    const connection = RawConnection.greeted(host.socket);
    await connection.connected;
    for (let call = 0; call < calls; call += 1) connection.begin(2 * call + 1);
    made.push(connection);
  }
  return made;
}

async function lastMs(): Promise<number> {
  const startMs = performance.now();
  const last = new KmsClient(host.socket);
  await last.encrypt(randomBytes(32));
  last.close();
  return performance.now() - startMs;
}

async function measure(): Promise<string> {
  const times: number[] = [];
  for (let i = 0; i < rounds; i += 1) times.push(await lastMs());
  times.sort((a, b) => a - b);
  const at = (share: number): string => (times[Math.floor(rounds * share)] ?? 0).toFixed(1);
  return `p50 ${at(0.5)} ms, max ${(times.at(-1) ?? 0).toFixed(1)} ms`;
}

test('the wait of a client that comes last', async (t) => {
  t.diagnostic(`alone: ${await measure()}`);
  for (const calls of [0, 100]) {
    const others = await greedy(calls);
    t.diagnostic(`beside 512 connections with ${calls} calls each: ${await measure()}`);
    for (const { socket } of others) socket.destroy();
  }
  assert.equal(await daemon.stop(), 0);
});
