// The journal's native protocol, over a real datagram socket.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { events } from '../../src/events.ts';
import { Journal, journalEntry } from '../../src/journal.ts';
import { eventLog, type LogSettings, openLines } from '../../src/log.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type Entry, JournalReceiver, parseEntry } from '../support/journald.ts';

const settings: LogSettings = { level: 'info', format: 'journald' };

function receiver(): JournalReceiver {
  const made = new JournalReceiver(temporaryFolder());
  after(() => made.close());
  return made;
}

function linesTo(path: string): { lines: string[]; log: ReturnType<typeof openLines> } {
  const lines: string[] = [];
  const log = openLines(settings, { write: (text) => lines.push(text) }, {}, path);
  return { lines, log };
}

async function entryOf(journald: JournalReceiver): Promise<Entry> {
  for (let i = 0; i < 200 && journald.entries.length === 0; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const [entry] = journald.entries.splice(0);
  assert.ok(entry !== undefined, 'no entry has come');
  return entry;
}

test('an event arrives with its id, its priority and every field, a list as several', async () => {
  const journald = receiver();
  const { lines, log } = linesTo(journald.path);
  const fields = {
    code: 'kek-missing',
    hint: 'kleidi key import',
    keyId: 'k1.prod.3.ff',
    keyIdHash: 'sha256:ab',
    ring: 'prod',
    generation: 3,
    uid: 'u-1',
    fp: ['aa', 'bb'],
  } as const;
  eventLog(log).event('not-serving', fields, 'no KEK');
  assert.deepEqual(await entryOf(journald), {
    MESSAGE: [
      'no KEK code=kek-missing hint="kleidi key import" keyId=k1.prod.3.ff keyIdHash=sha256:ab ring=prod generation=3 uid=u-1 fp=["aa","bb"]',
    ],
    PRIORITY: ['3'],
    SYSLOG_IDENTIFIER: ['kleidi'],
    MESSAGE_ID: [events['not-serving'].id],
    KLEIDI_EVENT: ['not-serving'],
    KLEIDI_ERROR_CODE: ['kek-missing'],
    KLEIDI_HINT: ['kleidi key import'],
    KLEIDI_KEY_ID: ['k1.prod.3.ff'],
    KLEIDI_KEY_ID_HASH: ['sha256:ab'],
    KLEIDI_RING: ['prod'],
    KLEIDI_RING_GENERATION: ['3'],
    KLEIDI_UID: ['u-1'],
    KLEIDI_KEK: ['aa', 'bb'],
  });
  assert.deepEqual(lines, [], 'what the journal has is not written twice');
});

test('text of several lines is one value, and forges neither a field nor an entry', async () => {
  const journald = receiver();
  const { log } = linesTo(journald.path);
  const evil = 'a\nMESSAGE_ID=00000000000000000000000000000000\n\nPRIORITY=0';
  eventLog(log).event('call-failed', { uid: evil }, evil);
  const entry = await entryOf(journald);
  assert.deepEqual(entry['KLEIDI_UID'], [evil]);
  assert.deepEqual(entry['MESSAGE_ID'], [events['call-failed'].id]);
  assert.deepEqual(entry['PRIORITY'], ['4']);
  assert.doesNotMatch(entry['MESSAGE']?.[0] ?? '', /\n/);
});

test('fields that are not listed are in the message alone', async () => {
  const journald = receiver();
  const { log } = linesTo(journald.path);
  log.info({ event: 'made-up', _PID: '1', frob: 2, keyId: { deep: 1 } }, 'text');
  const entry = await entryOf(journald);
  assert.deepEqual(Object.keys(entry).sort(), [
    'KLEIDI_EVENT',
    'MESSAGE',
    'PRIORITY',
    'SYSLOG_IDENTIFIER',
  ]);
  assert.match(entry['MESSAGE']?.[0] ?? '', /frob=2/);
});

test('too long values are cut between characters, and an entry stays below the limit', () => {
  const long = 'ä'.repeat(100_000);
  const entry = journalEntry([
    ['MESSAGE', long],
    ...Array.from({ length: 1_000 }, () => ['KLEIDI_KEK', long] as const),
  ]);
  assert.ok(entry.length < 50 * 1024, `${entry.length} bytes`);
  const { MESSAGE, KLEIDI_KEK } = parseEntry(entry);
  assert.match(MESSAGE?.[0] ?? '', /^ä{4000,}…$/);
  assert.equal(KLEIDI_KEK?.length, 39);
});

test('the longest entry fits into a datagram', async () => {
  const journald = receiver();
  const long = 'x'.repeat(100_000);
  const fields = Array.from({ length: 100 }, () => ['KLEIDI_KEK', long] as const);
  assert.equal(Journal.open(journald.path)?.send([['MESSAGE', long], ...fields]), true);
  assert.equal((await entryOf(journald))['KLEIDI_KEK']?.length, 39);
});

test('where the journal does not take an entry, its line is written instead', () => {
  const journald = receiver();
  const { lines, log } = linesTo(journald.path);
  journald.close();
  for (const breakIt of [() => undefined, () => rmSync(journald.path)]) {
    breakIt();
    log.warn('instead');
    assert.deepEqual(lines.splice(0), ['<4>instead\n']);
  }
  assert.deepEqual(Journal.open(journald.path), undefined);
});

test('a journal that does not read makes nothing wait', () => {
  const journald = receiver();
  const { lines, log } = linesTo(journald.path);
  // This loop gives the receiver no turn: its queue is full after a few entries.
  for (let i = 0; i < 2_000; i += 1) log.info({ uid: String(i) }, 'busy');
  assert.ok(lines.length > 0, 'the queue must have been full');
  assert.match(lines.at(-1) ?? '', /^<6>busy uid=1999\n$/);
});

test('a path that is no datagram socket is as good as none', async () => {
  const path = join(temporaryFolder(), 'stream');
  const server = createServer().listen(path);
  await new Promise((resolve) => server.once('listening', resolve));
  const { lines, log } = linesTo(path);
  log.info('line');
  assert.deepEqual(lines, ['<6>line\n']);
  server.close();
});
