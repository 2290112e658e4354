// The table of events, the catalog of journalctl -x, and what the source logs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { events, journalFields } from '../../src/events.ts';
import { temporaryFolder } from '../support/folder.ts';
import { missingTool } from '../support/skip.ts';

const catalog = readFileSync('systemd/kleidi.catalog', 'utf8');
const entries = catalog.split(/^-- /m).slice(1);
const ids = Object.values(events).map(({ id }) => id);
const sources = globSync('src/**/*.ts')
  .filter((file) => file !== 'src/events.ts')
  .map((file) => readFileSync(file, 'utf8'));

test('every event has an id of its own, random and of version 4', () => {
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
});

test('the catalog explains every event, and no other', () => {
  assert.deepEqual(entries.map((entry) => entry.slice(0, 32)).sort(), [...ids].sort());
  for (const entry of entries) {
    const [head = '', ...body] = entry.split('\n\n');
    assert.match(
      head,
      /^[0-9a-f]{32}\nSubject: .+\nDefined-By: kleidi\nDocumentation: man:kleidi\(8\)$/,
    );
    assert.ok(body.join('\n').trim().length > 60, head);
    for (const line of entry.split('\n')) assert.ok(line.length <= 100, line);
  }
});

test('the catalog names only fields that exist', () => {
  const known: ReadonlySet<string> = new Set(Object.values(journalFields));
  const named = [...catalog.matchAll(/@([A-Z0-9_]+)@/g)].map(([, name = '']) => name);
  assert.ok(named.length > 5);
  for (const name of named) assert.ok(known.has(name), name);
});

test('journalctl reads the catalog', { skip: missingTool('journalctl') }, () => {
  const root = temporaryFolder();
  const folder = join(root, 'usr/lib/systemd/catalog');
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(root, 'var/lib/systemd/catalog'), { recursive: true });
  copyFileSync('systemd/kleidi.catalog', join(folder, 'kleidi.catalog'));
  const run = (...args: string[]) =>
    spawnSync('journalctl', [`--root=${root}`, ...args], { encoding: 'utf8' });
  const { status, stderr } = run('--update-catalog');
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '', 'a warning about the catalog');
  const { stdout } = run('--dump-catalog');
  for (const id of ids) assert.ok(stdout.includes(`-- ${id}`), id);
  assert.ok(stdout.includes('Do NOT restart kleidi'));
});

test('every event is logged somewhere, and nothing is logged but events', () => {
  for (const name of Object.keys(events)) {
    assert.ok(
      sources.some((text) => text.includes(`'${name}'`)),
      name,
    );
  }
  for (const text of sources) assert.doesNotMatch(text, /\blog\.(?:debug|info|warn|error)\(/);
});

test('docs/operations.md names every field of the journal', () => {
  const docs = readFileSync('docs/operations.md', 'utf8');
  for (const name of Object.values(journalFields)) assert.ok(docs.includes(`\`${name}\``), name);
});
