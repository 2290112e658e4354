// Taking a path for the socket: what is alive or no socket is left alone.
import assert from 'node:assert/strict';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { inodeOf, listenOnPath, releasePath } from '../../src/host/listener.ts';
import { temporaryFolder } from '../support/folder.ts';

const unusable = { code: 'socket-unusable' };

function newServer(): Server {
  const server = createServer((connection) => {
    // A probe that only looks whether somebody answers hangs up at once.
    connection.on('error', () => undefined);
    connection.end('hello');
  });
  after(() => server.close());
  return server;
}

async function close(server: Server): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const client = connect(path);
    client.once('data', () => resolve(true));
    client.once('error', () => resolve(false));
  });
}

/** A socket file that nobody listens on: what a killed process leaves. */
async function deadSocket(path: string): Promise<void> {
  const server = newServer();
  await new Promise<void>((resolve) => server.listen(`${path}.first`, resolve));
  linkSync(`${path}.first`, path);
  await close(server);
  assert.ok(lstatSync(path).isSocket());
}

test('a free path becomes a socket of mode 0660 that answers, and the umask is as before', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'kms.sock');
  const before = process.umask(0o027);
  try {
    await listenOnPath(newServer(), path);
    assert.equal(process.umask(), 0o027);
  } finally {
    process.umask(before);
  }
  assert.equal(lstatSync(path).mode & 0o777, 0o660);
  assert.ok(await answers(path));
  assert.deepEqual(readdirSync(folder), ['kms.sock']);
});

test('a dead socket is replaced', async () => {
  const path = join(temporaryFolder(), 'kms.sock');
  await deadSocket(path);
  assert.equal(await answers(path), false);
  await listenOnPath(newServer(), path);
  assert.ok(await answers(path));
});

test('a live socket is refused and goes on answering', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'kms.sock');
  await listenOnPath(newServer(), path);
  const inode = await inodeOf(path);
  await assert.rejects(listenOnPath(newServer(), path), unusable);
  assert.equal(await inodeOf(path), inode);
  assert.ok(await answers(path));
  assert.deepEqual(readdirSync(folder), ['kms.sock']);
});

test('a file, a folder and a symbolic link are refused and left as they are', async () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('file'), 'precious');
  mkdirSync(at('folder'));
  await deadSocket(at('dead'));
  symlinkSync(at('nowhere'), at('dangling'));
  symlinkSync(at('dead'), at('link'));
  const before = readdirSync(folder);
  for (const name of ['file', 'folder', 'dangling', 'link']) {
    await assert.rejects(listenOnPath(newServer(), at(name)), unusable, name);
  }
  assert.deepEqual(readdirSync(folder), before);
  assert.equal(readFileSync(at('file'), 'utf8'), 'precious');
  assert.ok(lstatSync(at('dangling')).isSymbolicLink() && lstatSync(at('link')).isSymbolicLink());
});

test('a path is refused where its folder is missing or is none, and the umask is as before', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'file'), '');
  const umask = process.umask();
  for (const path of ['none/kms.sock', 'file/kms.sock']) {
    await assert.rejects(listenOnPath(newServer(), join(folder, path)), unusable, path);
    assert.equal(process.umask(), umask);
  }
});

test('a path is refused that does not fit into a socket address, and the longest that does is taken', async () => {
  const folder = temporaryFolder();
  // The socket is first made as .NAME.PID, which must fit too.
  const room = 107 - `${folder}/..${process.pid}`.length;
  await assert.rejects(listenOnPath(newServer(), join(folder, 'x'.repeat(room + 1))), unusable);
  assert.deepEqual(readdirSync(folder), []);
  const longest = join(folder, 'x'.repeat(room));
  await listenOnPath(newServer(), longest);
  assert.ok(await answers(longest));
});

test('closing takes away our own socket and never a successor’s', async () => {
  const path = join(temporaryFolder(), 'kms.sock');
  const first = newServer();
  await listenOnPath(first, path);
  const firstInode = await inodeOf(path);
  await close(first);
  assert.ok(existsSync(path), `${basename(path)} is ours to remove, not the server's`);
  const second = newServer();
  await listenOnPath(second, path);
  await releasePath(path, firstInode);
  assert.ok(await answers(path));
  await releasePath(path, await inodeOf(path));
  assert.equal(existsSync(path), false);
  await releasePath(path, undefined);
});
