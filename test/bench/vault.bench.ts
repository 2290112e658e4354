// Seals through the vault provider against a bare HTTP client on the same server, 8
// callers each, in turns.
//
//   node --test test/bench/vault.bench.ts
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Agent, request } from 'undici';
import { openTransit } from '../support/transit.ts';
import { onVault } from '../support/vaultserver.ts';

const callers = 8;
const roundMs = 3_000;
const rounds = 3;
const seed = Buffer.alloc(32, 4);
const aad = Buffer.from('header and key id');

interface Rate {
  readonly perSecond: number;
  readonly p99Ms: number;
}

async function rateOf(call: () => Promise<unknown>): Promise<Rate> {
  const times: number[] = [];
  const endMs = performance.now() + roundMs;
  const caller = async (): Promise<void> => {
    while (performance.now() < endMs) {
      const startMs = performance.now();
      await call();
      times.push(performance.now() - startMs);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  times.sort((a, b) => a - b);
  return {
    perSecond: (times.length * 1000) / roundMs,
    p99Ms: times[Math.floor(times.length * 0.99)] ?? 0,
  };
}

await onVault(async (server) => {
  const vault = await openTransit(
    [server.address],
    { method: 'token', token: async () => server.rootToken },
    { callTimeoutMs: 2_500 },
  );
  const fp = vault.keks()[0]?.fp ?? '';
  const dispatcher = new Agent({ connections: 16 });
  const bare = async (): Promise<void> => {
    const { body, statusCode } = await request(`${server.address}/v1/transit/encrypt/kleidi`, {
      dispatcher,
      method: 'POST',
      headers: { 'x-vault-token': server.rootToken },
      body: JSON.stringify({
        plaintext: seed.toString('base64'),
        associated_data: aad.toString('base64'),
      }),
    });
    await body.json();
    assert.equal(statusCode, 200);
  };

  test(`${callers} callers`, async (t) => {
    const ours: Rate[] = [];
    const theirs: Rate[] = [];
    for (let round = 0; round < rounds; round += 1) {
      theirs.push(await rateOf(bare));
      ours.push(await rateOf(() => vault.wrap(fp, seed, aad)));
    }
    const mean = (rates: readonly Rate[], of: keyof Rate): number =>
      rates.reduce((sum, rate) => sum + rate[of], 0) / rates.length;
    const ratio = mean(ours, 'perSecond') / mean(theirs, 'perSecond');
    t.diagnostic(
      `provider ${mean(ours, 'perSecond').toFixed(0)}/s, p99 ${mean(ours, 'p99Ms').toFixed(1)} ms; bare ${mean(theirs, 'perSecond').toFixed(0)}/s, p99 ${mean(theirs, 'p99Ms').toFixed(1)} ms; ratio ${ratio.toFixed(2)}`,
    );
  });

  test('all is closed', async () => {
    await vault.close();
    await dispatcher.close();
  });
});
