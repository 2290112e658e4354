// The one pending retry and its back-off, on a clock that the test moves.
import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { RetryTimer } from '../../src/host/jobs.ts';

let ran = 0;
let retry = new RetryTimer(() => undefined);

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout'] });
  ran = 0;
  retry = new RetryTimer(() => {
    ran += 1;
  });
});

/** Asserts that the pending retry comes after exactly so long. */
function comesAfter(ms: number): void {
  const before = ran;
  mock.timers.tick(ms - 1);
  assert.equal(ran, before, `sooner than ${ms} ms`);
  mock.timers.tick(1);
  assert.equal(ran, before + 1, `not after ${ms} ms`);
}

test('each failure is tried again after twice as long, from 0.2 to 30 seconds', () => {
  for (const ms of [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]) {
    retry.schedule();
    comesAfter(ms);
  }
  mock.timers.tick(120_000);
  assert.equal(ran, 10, 'a retry comes once');
});

test('after a success the next failure is tried again soon', () => {
  for (let i = 0; i < 5; i += 1) retry.schedule();
  retry.reset();
  mock.timers.tick(120_000);
  assert.equal(ran, 0, 'what was pending is not due any more');
  retry.schedule();
  comesAfter(200);
});

test('only one retry is pending, the one that was asked for last', () => {
  retry.schedule();
  retry.schedule();
  comesAfter(400);
  mock.timers.tick(120_000);
  assert.equal(ran, 1);
});

test('a retry that has come is not pending any more', () => {
  retry.schedule();
  assert.equal(retry.isPending, true);
  comesAfter(200);
  assert.equal(retry.isPending, false);
});

test('nothing comes after a cancel, however often, until it is asked for again', () => {
  retry.schedule();
  retry.cancel();
  retry.cancel();
  mock.timers.tick(120_000);
  assert.equal(ran, 0);
  retry.schedule();
  comesAfter(400);
});
