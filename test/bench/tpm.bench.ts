// What a KEK in a TPM costs beside one in SoftHSM, through a daemon: one call at a time, and a
// start of an API server, which asks once for each of 1,000 seeds. The TPM is simulated by
// software: a chip takes some ten times as long, which no figure here says.
//
//   node --test test/bench/tpm.bench.ts
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { type Encrypted, KmsClient } from '../support/client.ts';
import { missingTpm, SimulatedTpm } from '../support/simulatedtpm.ts';
import { TpmHost } from '../support/tpmmember.ts';

const seeds = 1_000;
const storms = [1, 8, 32];
const seed = randomBytes(32);

interface Times {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly totalMs: number;
}

function timesOf(each: readonly number[], totalMs: number): Times {
  const sorted = each.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99), totalMs };
}

async function timed(callers: number, calls: readonly (() => Promise<unknown>)[]): Promise<Times> {
  const left = [...calls];
  const each: number[] = [];
  const startMs = performance.now();
  const caller = async (): Promise<void> => {
    for (let call = left.pop(); call !== undefined; call = left.pop()) {
      const callMs = performance.now();
      await call();
      each.push(performance.now() - callMs);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return timesOf(each, performance.now() - startMs);
}

suite('a TPM beside SoftHSM', { skip: missingTpm() }, async () => {
  await SimulatedTpm.start();
  const host = await TpmHost.make();
  const daemon = await host.superviseServe();
  await daemon.event('serving');
  const client = new KmsClient(host.socket);

  async function measure(name: string, report: (line: string) => void): Promise<void> {
    const sealed: Encrypted[] = [];
    const seal = async (): Promise<void> => void sealed.push(await client.encrypt(seed));
    const say = (what: string, { p50Ms, p99Ms, totalMs }: Times): void =>
      report(
        `${name}: ${what}: p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, all ${(totalMs / 1000).toFixed(1)} s`,
      );
    say(
      `${seeds} encrypt, 1 caller`,
      await timed(
        1,
        Array.from({ length: seeds }, () => seal),
      ),
    );
    const opens = sealed.map(({ ciphertext, keyId }) => async (): Promise<void> => {
      assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
    });
    for (const callers of storms) {
      say(`storm of ${seeds} seeds, ${callers} callers`, await timed(callers, opens));
    }
  }

  test('SoftHSM', (t) => measure('SoftHSM', (line) => t.diagnostic(line)));

  test('TPM', async (t) => {
    await host.good('key', 'promote', (await host.makeKek()).fp);
    await measure('TPM', (line) => t.diagnostic(line));
    await daemon.stop();
  });
});
