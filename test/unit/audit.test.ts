// What the journal tells of commands that change a host: who, what, and what came of it.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { audited } from '../../src/admin/audit.ts';
import { KleidiError } from '../../src/errors.ts';
import { emptyRing, formatRing } from '../../src/keyring/ring.ts';
import { promote, stage } from '../../src/keyring/transitions.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type Entry, JournalReceiver } from '../support/journald.ts';

const [fp, other] = ['ab'.repeat(16), 'cd'.repeat(16)];
const ringId = '12'.repeat(16);
const kek = (each: string) => ({
  ...({ fp: each, check: each, provider: 'pkcs11', recovery: null } as const),
  created: '2026-01-01T00:00:00.000Z',
});
const first = promote(stage(emptyRing('prod'), kek(fp), ringId), fp, 1);
const second = promote(stage(first, kek(other), ringId), other, 2);

const folder = temporaryFolder();
const ringPath = join(folder, 'ring.json');
const configPath = join(folder, 'kleidi.yaml');
writeFileSync(configPath, `ring: ${ringPath}\n`);

/** Runs `work` as `kleidi key promote` and gives the one entry that it leaves. */
async function entryOf(work: () => Promise<number>): Promise<Entry> {
  const home = temporaryFolder();
  mkdirSync(home, { recursive: true });
  const journal = new JournalReceiver(home);
  const call = { command: 'key promote', args: ['abcd', '--generation', '2'], configPath };
  await audited(call, work, journal.path).catch(() => undefined);
  const entry = await journal.event('admin-done', 'admin-refused');
  journal.close();
  assert.equal(journal.entries.length, 1);
  return entry;
}

const values = (entry: Entry, ...names: string[]) => names.map((name) => entry[name]?.join());

test('what was done: generations before and after, and which KEKs have changed', async () => {
  writeFileSync(ringPath, formatRing(first));
  const entry = await entryOf(async () => {
    writeFileSync(ringPath, formatRing(second));
    return 0;
  });
  assert.deepEqual(
    values(entry, 'SYSLOG_IDENTIFIER', 'PRIORITY', 'KLEIDI_COMMAND', 'KLEIDI_ARGUMENTS'),
    ['kleidi-admin', '6', 'kleidi key promote', 'abcd --generation 2'],
  );
  assert.deepEqual(
    values(entry, 'KLEIDI_RING', 'KLEIDI_RING_GENERATION_BEFORE', 'KLEIDI_RING_GENERATION'),
    ['prod', '1', '2'],
  );
  assert.deepEqual([...(entry['KLEIDI_KEK'] ?? [])].sort(), [fp, other]);
  assert.match(entry['MESSAGE']?.[0] ?? '', /^kleidi key promote abcd --generation 2: done /);
  assert.equal(entry['KLEIDI_UID']?.[0], String(process.getuid?.()));
});

test('what was refused: why, and that nothing has changed', async () => {
  const reason = 'KEK abcd is retired';
  const entry = await entryOf(() => Promise.reject(new KleidiError('refused', reason)));
  assert.deepEqual(
    values(entry, 'PRIORITY', 'KLEIDI_ERROR_CODE', 'KLEIDI_REASON', 'KLEIDI_EXIT_CODE'),
    ['4', 'refused', reason, '1'],
  );
  assert.deepEqual(values(entry, 'KLEIDI_RING_GENERATION', 'KLEIDI_KEK'), ['2', undefined]);
  assert.doesNotMatch(entry['MESSAGE']?.[0] ?? '', /undefined|\[\]/);
});

test('the command goes on as it would: its result, its error, without a journal too', async () => {
  const call = { command: 'key promote', args: [], configPath: '/no/kleidi.yaml' };
  const nowhere = join(folder, 'no-journal');
  assert.equal(await audited(call, async () => 1, nowhere), 1);
  const error = new KleidiError('refused', 'no');
  await assert.rejects(
    audited(call, () => Promise.reject(error), nowhere),
    error,
  );
});
