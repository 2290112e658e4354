// Two builds of one commit in two folders, by two users with different settings,
// give the same bytes: the add-ons are compiled anew, everything is packed anew.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { builtPackage } from '../support/packages.ts';
import { missingTool } from '../support/skip.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const skip = missingTool('dpkg-deb', 'rpmbuild', 'checkmodule', 'objdump', 'git');

/** The sources as they are now, committed or not, in a folder of another name. */
function copySources(): string {
  const outer = mkdtempSync(join(root, 'dist', 'second-'));
  after(() => rmSync(outer, { recursive: true, force: true }));
  const copy = join(outer, 'a folder of another name'.replaceAll(' ', '-'));
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'];
  const files = execFileSync('git', list, { cwd: root, encoding: 'utf8' }).split('\0');
  for (const file of files.filter((each) => each !== '')) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file), { preserveTimestamps: true });
  }
  // As hard links, but for what the build of the add-ons writes.
  execFileSync('cp', ['-al', join(root, 'node_modules'), join(copy, 'node_modules')]);
  for (const written of globSync(join(copy, 'node_modules/*/build{,.log}'))) {
    if (/\/(pkcs11js|sd-notify|unix-dgram)\/build/.test(written))
      rmSync(written, { recursive: true });
  }
  return copy;
}

function digest(file: string): string {
  return `${basename(file)} ${createHash('sha256').update(readFileSync(file)).digest('hex')}`;
}

test('a build in another folder gives the same deb and the same rpm', { skip }, () => {
  const here = [builtPackage('deb'), builtPackage('rpm')];
  const copy = copySources();
  const env = { ...process.env, TZ: 'Pacific/Auckland', LC_ALL: 'C', HOME: copy, USER: 'other' };
  const script = 'umask 077; sh .ci/setup && npm run --silent package';
  execFileSync('sh', ['-c', script], { cwd: copy, env, stdio: ['ignore', 'ignore', 'inherit'] });
  const there = globSync(join(copy, 'dist/packages/kleidi*.{deb,rpm}'));
  assert.deepEqual(there.map(digest).sort(), here.map(digest).sort());
});
