// Nonces are what the kernel gives at the moment of each, and nothing else.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { kernelNonces, NonceSource } from '../../src/providers/pkcs11/nonces.ts';
import { temporaryFolder } from '../support/folder.ts';
import { missingTool, skipReason } from '../support/skip.ts';

const folder = temporaryFolder();
const path = join(folder, 'random');
const skip =
  process.getuid?.() === 0 ? missingTool('unshare', 'mount') : skipReason('needs root, to mount');
const bytes = (from: number): Buffer => Buffer.from(Array.from({ length: 12 }, (_, i) => from + i));

test('two readers of the same bytes have the same nonces: nothing is kept in between', () => {
  writeFileSync(path, Buffer.concat([bytes(0), bytes(50), bytes(100)]));
  const [one, other] = [new NonceSource(path), new NonceSource(path)];
  for (const from of [0, 50, 100]) {
    assert.deepEqual(one.next(), bytes(from));
    assert.deepEqual(other.next(), bytes(from));
  }
});

test('nothing is read ahead: each is what is there when it is asked for', () => {
  writeFileSync(path, Buffer.concat([bytes(0), bytes(50)]));
  const source = new NonceSource(path);
  assert.deepEqual(source.next(), bytes(0));
  writeFileSync(path, Buffer.concat([bytes(0), bytes(100)]));
  assert.deepEqual(source.next(), bytes(100));
});

test('too few bytes, or a source that is closed, give no nonce', () => {
  writeFileSync(path, Buffer.concat([bytes(0), Buffer.from('short')]));
  const source = new NonceSource(path);
  source.next();
  assert.throws(() => source.next(), { code: 'file-failed', message: /gave 5 bytes, not 12/ });
  assert.throws(() => source.next(), { code: 'file-failed', message: /gave 0 bytes/ });
  source.close();
  source.close();
  assert.throws(() => source.next(), { code: 'file-failed', message: /it is closed/ });
});

test('what cannot be opened, or is not the device, is refused and left closed', () => {
  assert.throws(() => new NonceSource(join(folder, 'nothing')), {
    code: 'file-failed',
    message: /no nonce can be had from .*nothing: ENOENT/,
  });
  const other = join(folder, 'other');
  writeFileSync(other, bytes(0));
  const refused = () => new NonceSource(other, () => assert.fail('another device'));
  assert.throws(refused, { code: 'file-failed', message: /another device/ });
  assert.ok(!readdirSync('/proc/self/fd').some((fd) => linkOf(fd) === other));
});

test('of the kernel: all different', () => {
  const source = kernelNonces();
  const seen = new Set(Array.from({ length: 10_000 }, () => source.next().toString('hex')));
  assert.equal(seen.size, 10_000);
  source.close();
});

test('a file in the place of the device is refused', { skip }, () => {
  const source = new URL('../../src/providers/pkcs11/nonces.ts', import.meta.url).href;
  const program = `import { kernelNonces } from ${JSON.stringify(source)}; kernelNonces();`;
  writeFileSync(path, Buffer.alloc(4096, 5));
  const script = 'mount --bind "$1" /dev/urandom && exec "$2" --input-type=module -e "$3"';
  const given = ['-m', 'sh', '-c', script, 'sh', path, process.execPath, program];
  const { status, stderr } = spawnSync('unshare', given, { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /no nonce can be had from \/dev\/urandom: it is not the random device/);
});

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}
