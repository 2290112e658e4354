// What who asks for metrics costs a client of the keys: its calls alone, and beside 100 scrapes a
// second, a scraper that never reads, and 10 MB of headers a second, one after the other again
// and again, so that what else the machine does is in both.
//
//   node --test test/bench/scrapes.bench.ts
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { metricsSocketOf } from '../support/metricsclient.ts';
import type { Scraped } from '../support/scrapers.ts';

const rounds = Number(process.env['KLEIDI_BENCH_ROUNDS'] ?? 12);
const roundMs = 3_000;
/** Between two calls, as of an API server that writes a few hundred Secrets a second. */
const pauseMs = 3;

const host = await TestHost.provisioned();
await host.serve();
const client = new KmsClient(host.socket);
const program = fileURLToPath(new URL('../support/scrapers.ts', import.meta.url));
const scrapers = fork(program, [metricsSocketOf(host)]);
after(() => scrapers.disconnect());

/** Milliseconds of each call. */
async function callsOfARound(): Promise<number[]> {
  const times: number[] = [];
  const endMs = performance.now() + roundMs;
  const sealed = await client.encrypt(randomBytes(32));
  for (let i = 0; performance.now() < endMs; i += 1) {
    const startMs = performance.now();
    if (i % 2 === 0) await client.encrypt(randomBytes(32));
    else await client.decrypt(sealed.ciphertext, sealed.keyId);
    times.push(performance.now() - startMs);
    await sleep(pauseMs);
  }
  return times;
}

async function besideScrapers(): Promise<{ times: number[]; scraped: Scraped }> {
  scrapers.send('start');
  const times = await callsOfARound();
  scrapers.send('stop');
  const [scraped] = (await once(scrapers, 'message')) as [Scraped];
  return { times, scraped };
}

function at(times: readonly number[], share: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? 0;
}

test('calls alone and beside scrapers', async (t) => {
  const alone: number[] = [];
  const beside: number[] = [];
  await callsOfARound();
  for (let i = 0; i < rounds; i += 1) {
    alone.push(...(await callsOfARound()));
    const { times, scraped } = await besideScrapers();
    beside.push(...times);
    assert.ok(scraped.answered > 0 && scraped.unread > 0 && scraped.cut > 0);
    if (i === 0) t.diagnostic(`in ${roundMs} ms: ${JSON.stringify(scraped)}`);
  }
  for (const share of [0.5, 0.99]) {
    const [a, b] = [at(alone, share), at(beside, share)];
    t.diagnostic(
      `p${share * 100}: alone ${a.toFixed(2)} ms, beside ${b.toFixed(2)} ms, ratio ${(b / a).toFixed(2)}`,
    );
  }
  t.diagnostic(`${alone.length} and ${beside.length} calls`);
});
