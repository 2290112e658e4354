// Deaths at start, remembered from one process to the next. Each `new` is a new
// process; the clock is the only thing that is not real.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, mock, test } from 'node:test';
import { StartMarks } from '../../src/host/startmarks.ts';
import { temporaryFolder } from '../support/folder.ts';

const start = Date.parse('2026-01-01T00:00:00Z');

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['Date'], now: start });
});

/** A process that dies in this stage. */
function dieIn(folder: string, stage: string): void {
  new StartMarks(folder).enter(stage);
}

test('where nothing has happened yet, a start is an ordinary one', () => {
  const marks = new StartMarks(temporaryFolder());
  assert.equal(marks.tooMany, false);
  assert.equal(marks.diedIn, undefined);
});

test('the stage in which the last process died is told by the next, and by no later one', () => {
  const folder = temporaryFolder();
  const first = new StartMarks(folder);
  first.enter('C_Initialize');
  first.enter('C_Login');
  assert.equal(new StartMarks(folder).diedIn, 'C_Login');
  assert.equal(new StartMarks(folder).diedIn, undefined);
});

test('the third death within a minute is one too many', () => {
  const folder = temporaryFolder();
  dieIn(folder, 'C_Initialize');
  dieIn(folder, 'C_Initialize');
  assert.equal(new StartMarks(folder).tooMany, false);
  dieIn(folder, 'C_Login');
  const marks = new StartMarks(folder);
  assert.equal(marks.tooMany, true);
  assert.equal(marks.diedIn, 'C_Login');
});

test('a process that came to be ready did not die, however it ended', () => {
  const folder = temporaryFolder();
  for (let i = 0; i < 5; i += 1) {
    const marks = new StartMarks(folder);
    marks.enter('C_Login');
    marks.enter('ready');
  }
  assert.equal(new StartMarks(folder).tooMany, false);
});

test('deaths of more than a minute ago do not count, in a later process nor in this one', () => {
  const folder = temporaryFolder();
  dieIn(folder, 'C_Login');
  dieIn(folder, 'C_Login');
  dieIn(folder, 'C_Login');
  const marks = new StartMarks(folder);
  assert.equal(marks.tooMany, true);
  mock.timers.setTime(start + 59_000);
  assert.equal(marks.tooMany, true);
  mock.timers.setTime(start + 60_000);
  assert.equal(marks.tooMany, false);
  assert.equal(new StartMarks(folder).tooMany, false);
});

test('a clock that was set back does not make old deaths count for ever', () => {
  const folder = temporaryFolder();
  for (let i = 0; i < 3; i += 1) dieIn(folder, 'C_Login');
  new StartMarks(folder);
  mock.timers.setTime(start - 3_600_000);
  assert.equal(new StartMarks(folder).tooMany, false);
});

test('a death of one’s own making counts like any other, without a stage', () => {
  const folder = temporaryFolder();
  for (let i = 0; i < 3; i += 1) {
    assert.equal(new StartMarks(folder).tooMany, false);
    new StartMarks(folder).die();
  }
  const marks = new StartMarks(folder);
  assert.equal(marks.tooMany, true);
  assert.equal(marks.diedIn, undefined);
});

test('a crash seen again in a child counts as all three, and a success forgets all', () => {
  const folder = temporaryFolder();
  const marks = new StartMarks(folder);
  marks.renew();
  assert.equal(marks.tooMany, true);
  assert.equal(new StartMarks(folder).tooMany, true);
  marks.clear();
  assert.equal(marks.tooMany, false);
  assert.equal(new StartMarks(folder).tooMany, false);
});

test('without a folder nothing is remembered, and nothing fails', () => {
  const folder = join(temporaryFolder(), 'none');
  for (let i = 0; i < 5; i += 1) dieIn(folder, 'C_Login');
  const marks = new StartMarks(folder);
  assert.equal(marks.tooMany, false);
  assert.equal(existsSync(folder), false);
});

test('a damaged file is as good as none', () => {
  const folder = temporaryFolder();
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '"x"',
    '{"stage":null}',
    '{"stage":null,"deathsMs":"abc"}',
    '{"stage":null,"deathsMs":[null,"a",{},1e999]}',
  ]) {
    writeFileSync(join(folder, 'start.json'), text);
    const marks = new StartMarks(folder);
    assert.equal(marks.tooMany, false, text);
    assert.equal(marks.diedIn, undefined, text);
  }
});

test('only the daemon’s user can read the file, and nothing else is left behind', () => {
  const folder = temporaryFolder();
  dieIn(folder, 'C_Login');
  assert.deepEqual(readdirSync(folder), ['start.json']);
  assert.equal(statSync(join(folder, 'start.json')).mode & 0o777, 0o600);
});
