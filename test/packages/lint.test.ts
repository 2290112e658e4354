// lintian and rpmlint say nothing that is not explained in an override, and the
// shell scripts are what they claim to be: POSIX sh.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { firstBoot, scriptlets, scriptText } from '../../packaging/scriptlets.ts';
import { temporaryFolder } from '../support/folder.ts';
import { builtPackage } from '../support/packages.ts';
import { missingTool } from '../support/skip.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const lintian = missingTool('dpkg-deb', 'rpmbuild', 'checkmodule', 'objdump', 'lintian');
const rpmlint = missingTool('dpkg-deb', 'rpmbuild', 'checkmodule', 'objdump', 'rpmlint');
const shellcheck = missingTool('shellcheck');

function output(command: string, ...args: string[]): string {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return `${stdout}${stderr}`;
}

test('lintian has nothing to say, down to its pedantic tags', { skip: lintian }, () => {
  const args = ['--display-info', '--pedantic', builtPackage('deb')];
  const tags = output('lintian', ...args).split('\n');
  assert.deepEqual(
    tags.filter((line) => /^[A-Z]: /.test(line)),
    [],
  );
});

test('rpmlint has nothing to say', { skip: rpmlint }, () => {
  const rules = ['-c', 'rpmlint.toml', '-r', 'kleidi.rpmlintrc'].map((each) =>
    each.startsWith('-') ? each : join(root, 'packaging/rpm', each),
  );
  const said = output('rpmlint', ...rules, builtPackage('rpm'));
  assert.match(said, / 0 errors, 0 warnings, 0 badness/);
});

test('each override says why', () => {
  for (const file of ['deb/lintian-overrides', 'rpm/kleidi.rpmlintrc']) {
    const text = readFileSync(join(root, 'packaging', file), 'utf8');
    assert.match(text, /^# /);
    assert.doesNotMatch(text, /\n\n/, 'a group of overrides follows its reason');
  }
});

const folder = temporaryFolder();
const scripts = [...scriptlets, firstBoot].map((scriptlet) => {
  const path = join(folder, scriptlet.name);
  writeFileSync(path, scriptText(scriptlet));
  return path;
});
const shellFiles = ['packaging/kleidi.sh', 'systemd/before-start'].map((file) => join(root, file));

test('every script parses in sh, and in bash as sh', () => {
  for (const file of [...scripts, ...shellFiles]) {
    for (const shell of [['sh'], ['bash', '--posix']]) {
      assert.equal(output(shell[0] ?? '', ...shell.slice(1), '-n', file), '', file);
    }
  }
});

test('shellcheck has nothing to say', { skip: shellcheck }, () => {
  assert.equal(output('shellcheck', '--shell=sh', ...scripts, ...shellFiles), '');
});
