// docs/kleidi.yaml, which is installed as the configuration: every field with
// its meaning and default.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { describeFields, loadConfig } from '../../src/config.ts';
import { softHsmPaths } from '../../src/softhsm.ts';
import { temporaryFolder } from '../support/folder.ts';

const sample = readFileSync('docs/kleidi.yaml', 'utf8');
/** As an operator does it: settings have no space behind the #, or two for each group. */
const inUse = sample.replace(/^#(?=(?: {2})*\S)/gm, '');
const prose = sample.replace(/^#(?:(?: {2})*\S.*)?$/gm, '').replace(/\n# /g, ' ');

function flat(value: object, prefix = ''): Record<string, unknown> {
  const pairs = Object.entries(value).map(([name, inner]: [string, unknown]) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? flat(inner, `${prefix}${name}.`)
      : { [prefix + name]: inner },
  );
  return Object.assign({}, ...pairs) as Record<string, unknown>;
}

function load(text: string): object {
  const path = join(temporaryFolder(), 'kleidi.yaml');
  writeFileSync(path, text);
  return loadConfig(path);
}

test('it holds every field of the schema with its default', () => {
  const fields = describeFields().map((field) => [
    field.name,
    field.name === 'pkcs11.module' ? softHsmPaths[0] : field.default,
  ]);
  assert.deepEqual(flat(parse(inUse) as object), Object.fromEntries(fields));
});

test('it says what each field means, in the words of the schema', () => {
  for (const { name, doc } of describeFields()) {
    assert.ok(prose.includes(doc.replace(/\.$/, '')), `${name}: ${doc}`);
  }
});

test('it loads as it is, and with every # taken away', () => {
  assert.deepEqual(load(sample), load(''));
  const { module } = load('') as { module?: string };
  assert.deepEqual(
    { ...flat(load(inUse)), 'pkcs11.module': module },
    { ...flat(load('')), 'pkcs11.module': module },
  );
});
