// What the threads cost and give: start and Encrypts one after the other on SoftHSM,
// which is called in the thread of the event loop, and Encrypts of 8 callers with
// Status beside them on a module of 15 ms a call, which is not.
//
//   node --test test/bench/token.bench.ts
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KmsClient } from '../support/client.ts';
import { FaultModule } from '../support/faultmodule.ts';
import { TestHost } from '../support/host.ts';
import { residentMb } from './peak.ts';

const seed = randomBytes(32);
const callers = 8;
const slowMs = 5_000;

function quantile(values: number[], share: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor(share * (sorted.length - 1))] ?? 0).toFixed(2);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

test('SoftHSM: start, and calls one after the other', async (t) => {
  const host = await TestHost.provisioned();
  const starts: number[] = [];
  for (let i = 0; i < 7; i += 1) {
    const startMs = performance.now();
    const daemon = await host.serve();
    starts.push(performance.now() - startMs);
    if (i === 6) {
      const client = new KmsClient(host.socket);
      for (let j = 0; j < 500; j += 1) await client.encrypt(seed);
      const each: number[] = [];
      for (let j = 0; j < 5_000; j += 1) each.push(await timed(() => client.encrypt(seed)));
      t.diagnostic(`Encrypt p50 ${quantile(each, 0.5)} ms, p99 ${quantile(each, 0.99)} ms`);
      t.diagnostic(`${residentMb(daemon.pid, 'VmRSS').toFixed(0)} MB`);
      client.close();
    }
    await daemon.stop();
  }
  t.diagnostic(`start p50 ${quantile(starts, 0.5)} ms, least ${quantile(starts, 0)} ms`);
});

test('a module of 15 ms a call: 8 callers, and Status beside them', async (t) => {
  const faults = new FaultModule();
  const host = await TestHost.provisioned();
  host.configure({ pkcs11: { module: faults.path } });
  faults.plan('C_EncryptInit delay 15', 'C_DecryptInit delay 15');
  const daemon = await host.serve(faults.env);
  const [client, other] = [new KmsClient(host.socket), new KmsClient(host.socket)];
  let calls = 0;
  const endMs = performance.now() + slowMs;
  const callUntilEnd = async (): Promise<void> => {
    for (; performance.now() < endMs; calls += 1) await client.encrypt(seed);
  };
  const all = Promise.all(Array.from({ length: callers }, callUntilEnd));
  const statuses: number[] = [];
  for (; performance.now() < endMs; await sleep(10)) {
    statuses.push(await timed(() => other.status()));
  }
  await all;
  t.diagnostic(`${((calls * 1000) / slowMs).toFixed(0)} Encrypts/s`);
  t.diagnostic(`Status p50 ${quantile(statuses, 0.5)} ms, p99 ${quantile(statuses, 0.99)} ms`);
  t.diagnostic(`${residentMb(daemon.pid, 'VmRSS').toFixed(0)} MB`);
  await daemon.stop();
});
