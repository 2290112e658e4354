// Files that must not replace another, on a file system without hard links: FAT and
// exFAT, on which people keep recovery keys.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../support/folder.ts';
import { KillAtStep } from '../support/killatstep.ts';
import { kleidi } from '../support/kleidi.ts';

test('recovery create writes both files, and does not replace them', async () => {
  const env = new KillAtStep().withoutLinks();
  const folder = temporaryFolder();
  const args = ['recovery', 'create', '--out', join(folder, 'key'), '--passphrase-fd', '0'];
  const input = 'a passphrase of some length\n';
  const made = await kleidi(args, { env, input });
  assert.equal(made.exitCode, 0, made.stderr);
  assert.deepEqual(readdirSync(folder).sort(), ['key.key', 'key.pub']);
  const before = readFileSync(join(folder, 'key.key'), 'utf8');
  const again = await kleidi(args, { env, input });
  assert.equal(again.exitCode, 1);
  assert.match(again.stderr, /exists already/);
  assert.equal(readFileSync(join(folder, 'key.key'), 'utf8'), before);
  assert.deepEqual(readdirSync(folder).sort(), ['key.key', 'key.pub']);
});
