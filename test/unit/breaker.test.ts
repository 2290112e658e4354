// The breaker, on a clock that the test moves: the wall clock does not matter.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { KleidiError } from '../../src/errors.ts';
import { Breaker, isOutage } from '../../src/providers/vault/breaker.ts';

const rules = { threshold: 3, firstMs: 250, longestMs: 5_000, counts: isOutage };
const outage = new KleidiError('vault-unreachable', 'away');

function setUp(t: TestContext): {
  breaker: Breaker;
  work: () => Promise<string>;
  state: { calls: number; nowMs: number; error: KleidiError | undefined };
} {
  const state = { calls: 0, nowMs: 1_000, error: outage as KleidiError | undefined };
  t.mock.method(performance, 'now', () => state.nowMs);
  const work = async (): Promise<string> => {
    state.calls += 1;
    if (state.error !== undefined) throw state.error;
    return 'ok';
  };
  return { breaker: new Breaker(rules), work, state };
}

test('after three failures calls fail without work, a trial closes it', async (t) => {
  const { breaker, work, state } = setUp(t);
  for (let i = 0; i < 10; i += 1) await assert.rejects(breaker.run(work), outage);
  assert.equal(state.calls, 3);
  assert.equal(breaker.open, outage);
  state.error = undefined;
  state.nowMs += 1_000;
  assert.equal(await breaker.run(work), 'ok');
  assert.equal(breaker.open, undefined);
});

test('a wall clock that is stepped back does not keep it open', async (t) => {
  const wall = { nowMs: 4_000_000_000_000 };
  t.mock.method(Date, 'now', () => wall.nowMs);
  const { breaker, work, state } = setUp(t);
  for (let i = 0; i < 3; i += 1) await assert.rejects(breaker.run(work));
  wall.nowMs -= 3_600_000;
  state.nowMs += 1_000;
  state.error = undefined;
  assert.equal(await breaker.run(work), 'ok');
});

test('calls that began before it opened neither lengthen the wait nor make more trials', async (t) => {
  const { breaker, state } = setUp(t);
  const fail: (() => void)[] = [];
  const slow = (): Promise<never> =>
    new Promise((_, reject) => {
      state.calls += 1;
      fail.push(() => reject(outage));
    });
  const early = Array.from({ length: 20 }, () => breaker.run(slow).catch(() => undefined));
  for (const each of fail.splice(0, 19)) each();
  await Promise.race(early);
  await new Promise(setImmediate);
  // Jitter makes at most 1.5 of the first wait.
  state.nowMs += 400;
  const trial = breaker.run(slow).catch(() => undefined);
  assert.equal(state.calls, 21);
  fail.shift()?.();
  await new Promise(setImmediate);
  await assert.rejects(breaker.run(slow), outage);
  assert.equal(state.calls, 21, 'one trial at a time');
  fail.shift()?.();
  await trial;
});

test('a failure that another attempt cannot fix proves that Vault is there', async (t) => {
  const { breaker, work, state } = setUp(t);
  await assert.rejects(breaker.run(work));
  await assert.rejects(breaker.run(work));
  state.error = new KleidiError('vault-denied', 'no');
  await assert.rejects(breaker.run(work));
  state.error = outage;
  await assert.rejects(breaker.run(work));
  assert.equal(breaker.open, undefined);
});
