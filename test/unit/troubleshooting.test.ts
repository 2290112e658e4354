// What docs/troubleshooting.md names is there: procedures by their headings, metrics, error codes,
// and groups of doctor.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const read = (name: string): string => readFileSync(`docs/${name}.md`, 'utf8');
const page = read('troubleshooting');

function namesIn(pattern: RegExp): string[] {
  const names = [...page.matchAll(pattern)].map(([, name = '']) => name.replace(/\s+/g, ' '));
  assert.ok(names.length > 0, `none of ${pattern}`);
  return names;
}

test('each procedure is a heading of operations.md', () => {
  const headings = [...read('operations').matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  for (const name of namesIn(/"([A-Z][^"]+)"/g)) assert.ok(headings.includes(name), name);
});

test('each metric is one of metrics.md, each code one of errors.md', () => {
  const metrics = read('metrics');
  for (const name of namesIn(/`(kleidi_[a-z_]+)`/g))
    assert.ok(metrics.includes(`\`${name}\``), name);
  const codes = namesIn(/`((?:kek|key-id|ciphertext|module)-[a-z]+)`/g);
  const errors = read('errors');
  for (const code of codes) assert.ok(errors.includes(`| \`${code}\` |`), code);
});
