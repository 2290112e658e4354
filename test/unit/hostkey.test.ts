// Is the host key of systemd's credentials the one of this machine-id? The id in the
// file is one that systemd 252 has written; on booted hosts: test/system/hostkey.test.ts.
import assert from 'node:assert/strict';
import { existsSync, linkSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import {
  type HostKeyPaths,
  hostKeyPaths,
  hostKeyState,
  keepHostKey,
  lostHostKey,
  requireNoLostHostKey,
  requireOwnHostKey,
} from '../../src/host/hostkey.ts';
import { temporaryFolder } from '../support/folder.ts';

const machineId = 'b1ddfe21dd5a4045afe51fbae54bbe0f';
const header = Buffer.from('247df75adc0c466b964a87f1b6cc3720', 'hex');
const other = '0123456789abcdef0123456789abcdef';

function hostWith(id: string, key: Buffer | undefined): HostKeyPaths {
  const paths = hostKeyPaths(temporaryFolder());
  for (const path of Object.values(paths)) mkdirSync(dirname(path), { recursive: true });
  writeFileSync(paths.machineId, `${id}\n`);
  if (key !== undefined) writeFileSync(paths.key, key, { mode: 0o400 });
  return paths;
}

const key = Buffer.concat([header, Buffer.alloc(4096, 7)]);

test('the key of this machine, of another, none, and what cannot be told', async () => {
  assert.deepEqual(await hostKeyState(hostWith(machineId, key)), { kind: 'ours' });
  assert.deepEqual(await hostKeyState(hostWith(other, key)), { kind: 'foreign' });
  const none = await hostKeyState(hostWith(machineId, undefined));
  assert.deepEqual(none, { kind: 'missing', copy: 'none' });
  for (const [id, bytes] of [
    ['uninitialized', key],
    ['', key],
    [machineId, Buffer.alloc(16)],
  ] as const) {
    assert.deepEqual(await hostKeyState(hostWith(id, bytes)), { kind: 'unknown' }, id);
  }
});

test('a copy is kept, not a link, and says how to put the key back', async () => {
  const paths = hostWith(machineId, key);
  await keepHostKey(paths);
  assert.deepEqual(readFileSync(paths.copy), key);
  const { mode, nlink } = statSync(paths.copy);
  assert.deepEqual([mode & 0o777, nlink, statSync(paths.key).nlink], [0o400, 1, 1]);
  const gone = hostWith(machineId, undefined);
  linkSync(paths.copy, gone.copy);
  assert.deepEqual(await hostKeyState(gone), { kind: 'missing', copy: 'ours' });
  const lost = await lostHostKey(gone);
  assert.match(lost?.hint ?? '', /^install -m 0400 \S+credential\.secret\.kleidi \S+/);
  writeFileSync(gone.machineId, other);
  assert.match((await lostHostKey(gone))?.hint ?? '', /^first put the old machine-id back/);
  // Nothing new is sealed in place of a key that can come back.
  await assert.rejects(requireNoLostHostKey(gone), { code: 'pin-missing' });
});

test('under another machine-id nothing is opened or sealed, and no copy is made', async () => {
  const paths = hostWith(other, key);
  await assert.rejects(requireOwnHostKey(paths), /would delete .*credential\.secret/);
  await assert.rejects(requireNoLostHostKey(paths), /would delete/);
  await keepHostKey(paths);
  assert.equal(existsSync(paths.copy), false);
  assert.equal(await lostHostKey(paths), undefined);
  assert.ok(existsSync(join(paths.key)));
});
