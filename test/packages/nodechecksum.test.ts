// The Node that is packed is the one that is pinned, and the pin is compared with
// archives as nodejs.org publishes them: here small ones of the same form.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseChecksums, requirePinned, requirePublished } from '../../packaging/nodechecksum.ts';
import { temporaryFolder } from '../support/folder.ts';

const machine = process.arch;
const installed = `node_modules/node-linux-${machine}/bin/node`;
const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('the installed program is the pinned one, of the version that package.json names', () => {
  requirePinned(installed, machine);
  const { optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    optionalDependencies: Record<string, string>;
  };
  const pins = parseChecksums(readFileSync('packaging/node.sha256', 'utf8'));
  const names = ['x64', 'arm64'].map(
    (each) => `node-v${optionalDependencies[`node-linux-${each}`]}-linux-${each}/bin/node`,
  );
  assert.deepEqual([...pins.keys()], names);
});

test('another program is not packed', () => {
  const other = join(temporaryFolder(), 'node');
  writeFileSync(other, 'another program');
  assert.throws(() => requirePinned(other, machine), /packaging\/node\.sha256 has [0-9a-f]{64}/);
  assert.throws(() => requirePinned(installed, 'riscv64'), /has undefined/);
});

test('archives, checksums and pins that agree, and each that does not', () => {
  const folder = temporaryFolder();
  const name = 'node-v1.2.3-linux-x64/bin/node';
  mkdirSync(join(folder, 'node-v1.2.3-linux-x64/bin'), { recursive: true });
  writeFileSync(join(folder, name), 'the program');
  const archive = join(folder, 'node-v1.2.3-linux-x64.tar.gz');
  execFileSync('tar', ['-czf', archive, '-C', folder, 'node-v1.2.3-linux-x64']);
  const sums = join(folder, 'SHASUMS256.txt');
  const publish = (sum: string): void =>
    writeFileSync(sums, `${sum}  node-v1.2.3-linux-x64.tar.gz\n`);
  publish(sha256(readFileSync(archive)));
  const pins = new Map([[name, sha256('the program')]]);
  assert.deepEqual(requirePublished(folder, pins), [name]);
  assert.throws(() => requirePublished(folder, new Map([[name, sha256('x')]])), /not the program/);
  publish(sha256('x'));
  assert.throws(() => requirePublished(folder, pins), /not the archive/);
});
