// vault-known.json: what is not whole is damaged, and says which file.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  formatKnownTexts,
  knownTextsPath,
  parseKnownTexts,
  readKnownTexts,
} from '../../src/providers/vault/knowntexts.ts';
import { temporaryFolder } from '../support/folder.ts';

const fp = '0123456789abcdef0123456789abcdef';
const text = `vault:v3:${Buffer.alloc(60, 7).toString('base64')}`;

test('what was written is read again; without a file nothing is known', async () => {
  const path = knownTextsPath(join(temporaryFolder(), 'ring.json'));
  assert.deepEqual(await readKnownTexts(path), new Map());
  const texts = new Map([
    [fp, text],
    ['f'.repeat(32), text],
  ]);
  writeFileSync(path, formatKnownTexts(texts));
  assert.deepEqual(await readKnownTexts(path), texts);
});

test('each way in which a file is damaged names it', () => {
  const whole = { format: 1, keks: { [fp]: text } };
  const cases = [
    '',
    '{',
    'null',
    '[]',
    '7',
    JSON.stringify(whole).slice(0, -1),
    JSON.stringify({ ...whole, format: 2 }),
    JSON.stringify({ format: 1 }),
    JSON.stringify({ format: 1, keks: [] }),
    JSON.stringify({ format: 1, keks: { x: text } }),
    JSON.stringify({ format: 1, keks: { [fp]: 1 } }),
    JSON.stringify({ format: 1, keks: { [fp]: '' } }),
    JSON.stringify({ format: 1, keks: { [fp]: 'vault:v0:AAAA' } }),
    JSON.stringify({ format: 1, keks: { [fp]: `${text}\n` } }),
    JSON.stringify({ format: 1, keks: { [fp]: `vault:v1:${'A'.repeat(2_000)}` } }),
  ];
  for (const damaged of cases) {
    assert.throws(() => parseKnownTexts(damaged, '/x/vault-known.json'), {
      code: 'vault-known-invalid',
      message: '/x/vault-known.json is damaged',
    });
  }
});
