// The loader takes what V8 made of the program where it belongs to it, and compiles
// the program anew where it does not: never the code of another source.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, cpSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../support/folder.ts';
import { program } from '../support/kleidi.ts';

const dist = dirname(program);
const root = dirname(dist);

function copied(): string {
  const folder = temporaryFolder();
  for (const name of ['kleidi.js', 'program.js', 'program.cache']) {
    copyFileSync(join(dist, name), join(folder, name));
  }
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** What the loader has V8 do, and what the program prints. */
function load(folder: string, ...flags: string[]): { compiled: string; text: string } {
  const spy = `const vm = require('node:vm'); const { Script } = vm;
    vm.Script = class extends Script {
      constructor(text, options) {
        super(text, options);
        const kind = options.cachedData === undefined ? 'anew' : this.cachedDataRejected ? 'rejected' : 'before';
        require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'compiled'))}, kind);
      }
    };`;
  writeFileSync(join(folder, 'spy.cjs'), spy);
  const args = [...flags, '-r', join(folder, 'spy.cjs'), join(folder, 'kleidi.js'), '--help'];
  const text = execFileSync(process.execPath, args, { encoding: 'utf8' });
  return { compiled: readFileSync(join(folder, 'compiled'), 'utf8'), text };
}

test('what V8 made of the program before is used', () => {
  const { compiled, text } = load(copied());
  assert.equal(compiled, 'before');
  assert.match(text, /usage: kleidi VERB/);
});

test('not for another source, though it is as long', () => {
  const folder = copied();
  const source = readFileSync(join(folder, 'program.js'), 'latin1');
  // The bundler may break a long line within a text.
  const usage = new RegExp([...'usage: kleidi VERB'].join('(?:\\\\\n)?'));
  assert.match(source, usage);
  const other = source.replace(usage, (text) => text.replace('u', 'U'));
  writeFileSync(join(folder, 'program.js'), other);
  const { compiled, text } = load(folder);
  assert.equal(compiled, 'anew');
  assert.match(text, /Usage: kleidi VERB/);
});

test('not under flags that V8 compiles otherwise with, and not where it is missing or cut', () => {
  const folder = copied();
  assert.equal(load(folder, '--jitless').compiled, 'rejected');
  const cache = join(folder, 'program.cache');
  writeFileSync(cache, readFileSync(cache).subarray(0, 5000));
  assert.equal(load(folder).compiled, 'rejected');
  rmSync(cache);
  const { compiled, text } = load(folder);
  assert.equal(compiled, 'anew');
  assert.match(text, /usage: kleidi VERB/);
});

test('the program is ASCII, as the loader reads it', () => {
  assert.doesNotMatch(readFileSync(join(dist, 'program.js'), 'latin1'), /[^\0-\x7f]/);
});

/** Made on a machine that stands still for a moment, as a busy one does. */
async function compiledWithPause(afterMs: number): Promise<Buffer> {
  const cache = join(temporaryFolder(), 'program.cache');
  const maker = join(root, 'packaging/compile.mjs');
  const args = ['--random-seed=1', maker, join(dist, 'program.js'), cache];
  const child = spawn(process.execPath, args, { cwd: dist, env: {}, stdio: 'ignore' });
  const end = once(child, 'exit');
  await sleep(afterMs);
  child.kill('SIGSTOP');
  await sleep(600);
  child.kill('SIGCONT');
  assert.deepEqual(await end, [0, null]);
  return readFileSync(cache);
}

test('what V8 makes of it does not depend on the speed of the machine', async () => {
  const here = readFileSync(join(dist, 'program.cache'));
  for (const afterMs of [80, 120, 140, 160, 200, 240]) {
    const there = await compiledWithPause(afterMs);
    assert.ok(here.equals(there), `another one where it stands still after ${afterMs} ms`);
  }
});
