// Deaths, remembered from one process to the next. Each `new` is a new process;
// the clock is the only thing that is not real.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import { CrashLoop } from '../../src/host/crashloop.ts';
import { temporaryFolder } from '../support/folder.ts';

let nowMs = 0;

beforeEach(() => {
  nowMs = 1_000_000;
});

const marksIn = (folder: string): CrashLoop => new CrashLoop(folder, () => nowMs);

/** A process that dies in this stage. */
function dieIn(folder: string, stage: string): void {
  marksIn(folder).enter(stage);
}

test('where nothing has happened yet, a start is an ordinary one', () => {
  const marks = new CrashLoop(temporaryFolder());
  assert.equal(marks.tooMany, false);
  assert.equal(marks.diedIn, undefined);
});

test('the stage in which the last process died is told by the next, and by no later one', () => {
  const folder = temporaryFolder();
  const first = marksIn(folder);
  first.enter('C_Initialize');
  first.enter('C_Login');
  assert.equal(marksIn(folder).diedIn, 'C_Login');
  assert.equal(marksIn(folder).diedIn, undefined);
});

test('the third start in a row that dies is one too many', () => {
  const folder = temporaryFolder();
  dieIn(folder, 'C_Initialize');
  dieIn(folder, 'C_Initialize');
  assert.equal(marksIn(folder).tooMany, false);
  dieIn(folder, 'C_Login');
  const marks = marksIn(folder);
  assert.equal(marks.tooMany, true);
  assert.equal(marks.diedIn, 'C_Login');
});

test('a module that hangs at start is killed after a minute each time, and counts all the same', () => {
  const folder = temporaryFolder();
  for (let i = 0; i < 3; i += 1) {
    assert.equal(marksIn(folder).tooMany, false);
    dieIn(folder, 'C_Login');
    nowMs += 65_000;
  }
  assert.equal(marksIn(folder).tooMany, true);
});

test('a process that came to be ready did not die, however it ended', () => {
  const folder = temporaryFolder();
  for (let i = 0; i < 5; i += 1) {
    const marks = marksIn(folder);
    marks.enter('C_Login');
    marks.enter('ready');
  }
  assert.equal(marksIn(folder).tooMany, false);
});

test('deaths of one’s own making of more than a minute ago do not count', () => {
  const folder = temporaryFolder();
  for (let i = 0; i < 3; i += 1) marksIn(folder).die();
  const marks = marksIn(folder);
  assert.equal(marks.tooMany, true);
  nowMs += 59_000;
  assert.equal(marks.tooMany, true);
  nowMs += 1_000;
  assert.equal(marks.tooMany, false);
  assert.equal(marksIn(folder).tooMany, false);
});

test('starts that died before one that came to be ready do not count', () => {
  const folder = temporaryFolder();
  dieIn(folder, 'C_Login');
  dieIn(folder, 'C_Login');
  marksIn(folder).enter('ready');
  dieIn(folder, 'C_Login');
  assert.equal(marksIn(folder).tooMany, false);
});

test('the clock is the kernel’s, which no one sets', () => {
  const folder = temporaryFolder();
  for (let i = 0; i < 3; i += 1) new CrashLoop(folder).die();
  assert.equal(new CrashLoop(folder).tooMany, true);
});

test('a death of one’s own making counts like any other, without a stage', () => {
  const folder = temporaryFolder();
  for (let i = 0; i < 3; i += 1) {
    assert.equal(marksIn(folder).tooMany, false);
    marksIn(folder).die();
  }
  const marks = marksIn(folder);
  assert.equal(marks.tooMany, true);
  assert.equal(marks.diedIn, undefined);
});

test('a crash seen again in a child counts as all three, and a success forgets all', () => {
  const folder = temporaryFolder();
  const marks = marksIn(folder);
  marks.renew();
  assert.equal(marks.tooMany, true);
  assert.equal(marksIn(folder).tooMany, true);
  marks.clear();
  assert.equal(marks.tooMany, false);
  assert.equal(marksIn(folder).tooMany, false);
});

test('without a folder nothing is remembered, and nothing fails', () => {
  const folder = join(temporaryFolder(), 'none');
  for (let i = 0; i < 5; i += 1) dieIn(folder, 'C_Login');
  const marks = marksIn(folder);
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
    const marks = marksIn(folder);
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

test('a process that ends itself in a stage of the start is a failed start, at any distance in time', () => {
  const folder = temporaryFolder();
  for (let i = 0; i < 3; i += 1) {
    const marks = marksIn(folder);
    assert.equal(marks.tooMany, false);
    marks.enter('C_Login');
    marks.die();
    // What fails because of it must not pass for an end of the stage.
    marks.enter('ready');
    nowMs += 45_000;
  }
  const marks = marksIn(folder);
  assert.equal(marks.tooMany, true);
  assert.equal(marks.diedIn, 'C_Login');
});

test('pipes and links in the place of its files are neither waited for nor followed', () => {
  const [folder, elsewhere] = [temporaryFolder(), join(temporaryFolder(), 'kept')];
  const file = join(folder, 'start.json');
  execFileSync('mkfifo', [file, `${file}.tmp`]);
  dieIn(folder, 'C_Login');
  assert.equal(marksIn(folder).diedIn, 'C_Login');
  writeFileSync(elsewhere, 'kept');
  symlinkSync(elsewhere, `${file}.tmp`);
  dieIn(folder, 'C_Initialize');
  assert.equal(marksIn(folder).diedIn, 'C_Initialize');
  assert.equal(readFileSync(elsewhere, 'utf8'), 'kept');
});

test('the next process knows how this one has ended', () => {
  const folder = temporaryFolder();
  assert.equal(marksIn(folder).previousEnd, 'none');
  marksIn(folder).end('stopped');
  assert.equal(marksIn(folder).previousEnd, 'stopped');
  marksIn(folder).end('restart');
  assert.equal(marksIn(folder).previousEnd, 'restart');
  const broken = marksIn(folder);
  broken.die();
  broken.end('stopped');
  assert.equal(marksIn(folder).previousEnd, 'module-broken');
  dieIn(folder, 'login');
  assert.equal(marksIn(folder).previousEnd, 'died');
});
