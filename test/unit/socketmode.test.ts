// Nobody outside the group gets in, not even in the first moment of a socket.
import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync, watch } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { listenOnPath } from '../../src/host/listener.ts';
import { temporaryFolder } from '../support/folder.ts';

function newServer(): Server {
  const server = createServer();
  after(() => server.close());
  return server;
}

test('the socket has its mode from its first moment, also where the umask would allow all', async () => {
  const folder = temporaryFolder();
  const modes: number[] = [];
  const look = (): void => {
    for (const name of readdirSync(folder)) {
      const found = lstatSync(join(folder, name), { throwIfNoEntry: false });
      if (found !== undefined) modes.push(found.mode & 0o777);
    }
  };
  const watcher = watch(folder, look);
  const before = process.umask(0);
  try {
    const listening = listenOnPath(newServer(), join(folder, 'kms.sock'));
    while (!existsSync(join(folder, 'kms.sock'))) {
      look();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await listening;
  } finally {
    process.umask(before);
    watcher.close();
  }
  look();
  assert.deepEqual([...new Set(modes)], [0o660]);
});

test('the mode is 0660 also under an umask that would take it all', async () => {
  const path = join(temporaryFolder(), 'kms.sock');
  const before = process.umask(0o777);
  try {
    await listenOnPath(newServer(), path);
    assert.equal(process.umask(), 0o777);
  } finally {
    process.umask(before);
  }
  assert.equal(lstatSync(path).mode & 0o777, 0o660);
});
