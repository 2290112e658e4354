// What an API server without a hash of its configuration runs on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runsSinceThen } from '../../src/apiserver/live/sincewhen.ts';

const writtenMs = 1_000_000;
const minuteMs = 60_000;

function found(
  startedUnixMs: number | undefined,
  reload: { isGood: boolean; unixMs: number } | undefined,
  { reloads = true, afterMs = minuteMs } = {},
): string {
  const when = { writtenMs, reloads, nowMs: writtenMs + afterMs };
  return runsSinceThen({ startedUnixMs, lastReload: reload }, when);
}

test('one that was started after the file was written runs on it', () => {
  assert.equal(found(writtenMs + 1, undefined), 'yes');
  assert.equal(found(writtenMs + 1, undefined, { reloads: false }), 'yes');
});

test('one that reloads has read the file after two looks, whether or not it was another one', () => {
  const before = writtenMs - minuteMs;
  for (const reload of [
    undefined,
    { isGood: true, unixMs: writtenMs + 1 },
    { isGood: false, unixMs: before },
  ]) {
    assert.equal(found(before, reload), 'cannot-tell');
    assert.equal(found(before, reload, { afterMs: 3 * minuteMs }), 'yes');
  }
});

test('a reload that failed since then, or none at all: it runs on another one', () => {
  const before = writtenMs - minuteMs;
  const failed = { isGood: false, unixMs: writtenMs + 1 };
  assert.equal(found(before, failed, { afterMs: 3 * minuteMs }), 'no');
  assert.equal(found(before, undefined, { reloads: false, afterMs: 3 * minuteMs }), 'no');
});

test('what is not known, and a start within the error of its clock, is no answer', () => {
  assert.equal(found(undefined, undefined), 'cannot-tell');
  assert.equal(found(writtenMs - 1_000, undefined, { reloads: false }), 'cannot-tell');
});
