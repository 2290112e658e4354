// Files that hold state: whole or not at all, with their mode, and nothing left
// lying about.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isErrno, writeFileAtomically, writeNewFile } from '../../src/files.ts';
import { foreignEntries, readForeignFile, readOwnFile } from '../../src/readfile.ts';
import { temporaryFolder } from '../support/folder.ts';

function folder(): string {
  const path = join(temporaryFolder(), 'state');
  mkdirSync(path);
  return path;
}

const modeOf = (path: string): number => statSync(path).mode & 0o7777;
/** An owner that no kernel takes: fails after the temporary file has been made. */
const impossible = { uid: -2, gid: -2 };

for (const write of [writeFileAtomically, writeNewFile]) {
  test(`${write.name} makes a file with the contents and exactly the mode, whatever the umask`, async () => {
    const state = folder();
    const before = process.umask();
    try {
      for (const umask of [0, 0o777, 0o027]) {
        process.umask(umask);
        for (const mode of [0o400, 0o600, 0o640, 0o644]) {
          const path = join(state, `${umask}-${mode}`);
          await write(path, 'contents', mode);
          assert.equal(modeOf(path), mode);
          assert.equal(readFileSync(path, 'utf8'), 'contents');
        }
      }
    } finally {
      process.umask(before);
    }
  });

  test(`${write.name} leaves nothing behind, done or failed`, async () => {
    const state = folder();
    const failed = { code: 'file-failed' };
    await write(join(state, 'good'), Buffer.from([0, 255]), 0o600);
    await assert.rejects(write(join(state, 'none/file'), 'x', 0o600), failed);
    await assert.rejects(write(join(state, 'good/file'), 'x', 0o600), failed);
    await assert.rejects(write(join(state, 'owned'), 'x', 0o600, impossible), failed);
    assert.deepEqual(readdirSync(state), ['good']);
    assert.deepEqual(readFileSync(join(state, 'good')), Buffer.from([0, 255]));
  });

  test(`${write.name} gives the file its owner`, async () => {
    const [own = 0, group = 0] = [process.getuid?.(), process.getgid?.()];
    // Only root can give a file away.
    const owner = own === 0 ? { uid: 12_345, gid: 23_456 } : { uid: own, gid: group };
    const path = join(folder(), 'file');
    await write(path, 'x', 0o600, owner);
    const { uid, gid } = statSync(path);
    assert.deepEqual({ uid, gid }, owner);
  });
}

test('an old file is replaced, with its mode', async () => {
  const state = folder();
  const path = join(state, 'file');
  writeFileSync(path, 'a much longer old text');
  chmodSync(path, 0o644);
  await writeFileAtomically(path, 'new', 0o600);
  assert.equal(readFileSync(path, 'utf8'), 'new');
  assert.equal(modeOf(path), 0o600);
  assert.deepEqual(readdirSync(state), ['file']);
});

test('where replacing fails, what was there stays as it was', async () => {
  const state = folder();
  const path = join(state, 'file');
  writeFileSync(path, 'old');
  await assert.rejects(writeFileAtomically(path, 'new', 0o600, impossible), {
    code: 'file-failed',
  });
  assert.equal(readFileSync(path, 'utf8'), 'old');
  // A folder in the file's place makes the rename itself fail.
  mkdirSync(join(state, 'folder/inner'), { recursive: true });
  await assert.rejects(writeFileAtomically(join(state, 'folder'), 'new', 0o600), {
    code: 'file-failed',
  });
  assert.deepEqual(readdirSync(state).sort(), ['file', 'folder']);
  assert.deepEqual(readdirSync(join(state, 'folder')), ['inner']);
});

test('a reader sees the old text or the new one, never a part', async () => {
  const path = join(folder(), 'file');
  const texts = ['a'.repeat(100_000), 'b'.repeat(50_000)];
  await writeFileAtomically(path, texts[0] ?? '', 0o600);
  let writing = true;
  const writer = (async () => {
    for (let i = 0; i < 40; i += 1) await writeFileAtomically(path, texts[i % 2] ?? '', 0o600);
    writing = false;
  })();
  let reads = 0;
  while (writing) {
    assert.ok(texts.includes(await readFile(path, 'utf8')));
    reads += 1;
  }
  await writer;
  assert.ok(reads > 10, `only ${reads} reads`);
});

test('a new file never takes the place of another, of a folder or of a link to nowhere', async () => {
  const state = folder();
  writeFileSync(join(state, 'file'), 'old');
  mkdirSync(join(state, 'folder'));
  symlinkSync(join(state, 'nowhere'), join(state, 'link'));
  for (const name of ['file', 'folder', 'link']) {
    await assert.rejects(writeNewFile(join(state, name), 'new', 0o600), { code: 'already-exists' });
  }
  assert.equal(readFileSync(join(state, 'file'), 'utf8'), 'old');
  assert.deepEqual(readdirSync(state).sort(), ['file', 'folder', 'link']);
});

test('of several that make the same new file at once, one succeeds and its text stands', async () => {
  const state = folder();
  const path = join(state, 'file');
  const tries = Array.from({ length: 8 }, (_, i) => writeNewFile(path, `text ${i}`, 0o600));
  const results = await Promise.allSettled(tries);
  const winner = results.findIndex(({ status }) => status === 'fulfilled');
  const lost = results.filter((result) => result.status === 'rejected');
  assert.equal(lost.length, 7);
  for (const { reason } of lost) assert.equal((reason as { code?: string }).code, 'already-exists');
  assert.equal(readFileSync(path, 'utf8'), `text ${winner}`);
  assert.deepEqual(readdirSync(state), ['file']);
});

test('an errno is told by its code only', () => {
  assert.ok(isErrno(Object.assign(new Error('x'), { code: 'ENOENT' }), 'ENOENT'));
  for (const other of [new Error('ENOENT'), { code: 'ENOENT' }, 'ENOENT', undefined, null]) {
    assert.ok(!isErrno(other, 'ENOENT'));
  }
});

test('a file of another user is read only where it is a regular one, and never waited for', async () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('regular'), 'text');
  symlinkSync(at('regular'), at('link'));
  execFileSync('mkfifo', [at('pipe')]);
  symlinkSync(at('pipe'), at('link-to-pipe'));
  assert.equal((await readForeignFile(at('regular'), 4)).toString(), 'text');
  for (const name of ['link', 'pipe', 'link-to-pipe', 'none']) {
    await assert.rejects(readForeignFile(at(name), 100), name);
  }
  await assert.rejects(readForeignFile(at('regular'), 3), /the limit is 3/);
});

test('a file of our own may be a link, but no pipe, device or folder is waited for', async () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('regular'), 'text');
  symlinkSync(at('regular'), at('link'));
  execFileSync('mkfifo', [at('pipe')]);
  assert.equal(await readOwnFile(at('link')), 'text');
  for (const path of [at('pipe'), '/dev/zero', folder]) {
    await assert.rejects(readOwnFile(path), /is not a regular file/, path);
  }
  await assert.rejects(readOwnFile(at('none')), { code: 'ENOENT' });
});

test('a folder of another user is listed as it is: no link leads out of it, or round in it', () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  mkdirSync(at('inner'));
  writeFileSync(at('inner/file'), '');
  symlinkSync('/', at('root'));
  for (const name of ['again', 'inner/once', 'inner/more']) symlinkSync(folder, at(name));
  execFileSync('mkfifo', [at('inner/pipe')]);
  const found = foreignEntries(folder);
  assert.deepEqual(found.map(({ path }) => path.slice(folder.length + 1)).sort(), [
    'again',
    'inner',
    'inner/file',
    'inner/more',
    'inner/once',
    'inner/pipe',
    'root',
  ]);
  assert.equal(found.filter((each) => each.isFile() || each.isDirectory()).length, 2);
});
