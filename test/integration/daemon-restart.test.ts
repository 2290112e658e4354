// kill -9, restart and stop while clients call in a loop. A supervisor holds
// the listening socket, as systemd does, so that nobody is refused.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceError } from '@grpc/grpc-js';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';

const host = await TestHost.provisioned();
const daemon = await host.superviseServe();
const seed = randomBytes(32);
const sealed = await new KmsClient(host.socket).encrypt(seed);

interface Load {
  readonly calls: number;
  readonly failures: readonly string[];
  readonly longestGapMs: number;
}

/** 8 clients, each with a connection of its own, one call after the other. */
async function underLoad(work: () => Promise<void>): Promise<Load> {
  let running = true;
  const doneMs: number[] = [];
  const failures: string[] = [];
  const clients = Array.from({ length: 8 }, () => new KmsClient(host.socket));
  const loops = clients.map(async (client) => {
    while (running) {
      await client.decrypt(sealed.ciphertext, sealed.keyId).then(
        (plaintext) => {
          assert.deepEqual(plaintext, seed);
          doneMs.push(performance.now());
        },
        (error: ServiceError) => failures.push(`${error.code} ${error.details}`),
      );
    }
  });
  await work();
  await sleep(500);
  running = false;
  await Promise.all(loops);
  for (const client of clients) client.close();
  const gaps = doneMs.map((ms, i) => ms - (doneMs[i - 1] ?? ms));
  return { calls: doneMs.length, failures, longestGapMs: Math.max(...gaps) };
}

function describe(load: Load): string {
  const { calls, failures, longestGapMs } = load;
  return `${calls} calls, ${failures.length} failed, longest gap ${longestGapMs.toFixed(0)} ms`;
}

/** connect(2) itself, again and again: the kernel must never refuse it. */
async function countRefused(during: Promise<unknown>): Promise<{ tried: number; refused: number }> {
  const counts = { tried: 0, refused: 0 };
  let over = false;
  void during.finally(() => {
    over = true;
  });
  while (!over) {
    counts.tried += 1;
    const refused = await new Promise<boolean>((resolve) => {
      const socket = connect(host.socket, () => resolve(false));
      socket.on('error', () => resolve(true));
      setTimeout(() => socket.destroy(), 50);
    });
    if (refused) counts.refused += 1;
    await sleep(5);
  }
  return counts;
}

async function killAndAwaitReturn(signal: NodeJS.Signals): Promise<void> {
  const from = daemon.lines.length;
  daemon.signal(signal);
  await daemon.event('listening', from);
  await sleep(300);
}

test('kill -9 under 8 clients refuses no connection and fails only calls in flight', async (t) => {
  const work = underLoad(async () => {
    await sleep(500);
    for (let i = 0; i < 5; i += 1) await killAndAwaitReturn('SIGKILL');
  });
  const [load, { tried, refused }] = await Promise.all([work, countRefused(work)]);
  t.diagnostic(`5 kills: ${describe(load)}; ${tried} connections tried, ${refused} refused`);
  assert.equal(refused, 0);
  assert.ok(load.calls > 100);
  assert.ok(load.failures.length <= 5 * 8, load.failures.join('\n'));
});

test('SIGTERM drains: a restart under 8 clients loses no call and ends with exit code 0', async (t) => {
  const load = await underLoad(async () => {
    await sleep(300);
    for (let i = 0; i < 5; i += 1) await killAndAwaitReturn('SIGTERM');
  });
  t.diagnostic(`5 restarts: ${describe(load)}`);
  assert.deepEqual(load.failures, []);
  assert.ok(load.calls > 100);
  const statuses = daemon.lines
    .filter((line) => line['event'] === 'supervisor-ended')
    .map((line) => line['status']);
  assert.deepEqual(statuses.slice(-5), [0, 0, 0, 0, 0], 'each ended with exit code 0');
});
