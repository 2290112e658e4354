// The deb, packed by dpkg-deb from the staged tree. gzip, because its bytes do not
// depend on the number of processors (xz's do), and every dpkg and lintian takes it.
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './program.ts';
import type { Release } from './release.ts';
import { scriptlets, scriptText } from './scriptlets.ts';
import { runTool } from './tool.ts';
import type { Tree } from './tree.ts';

/** @returns path of the package, in `folder` */
export function packDeb(tree: Tree, release: Release, folder: string): string {
  const content = join(folder, 'deb');
  tree.layOut('deb', content);
  writeControl(tree, release, join(content, 'DEBIAN'));
  const file = join(folder, `kleidi_${release.packageVersion}_${release.machine.deb}.deb`);
  const args = ['--build', '--root-owner-group', '-Zgzip', '-z6'];
  runTool('dpkg-deb', [...args, content, file], {
    env: { SOURCE_DATE_EPOCH: String(release.epochSeconds) },
  });
  return file;
}

function writeControl(tree: Tree, release: Release, folder: string): void {
  mkdirSync(folder, { mode: 0o755 });
  const put = (name: string, text: string, mode = 0o644): void => {
    const path = join(folder, name);
    writeFileSync(path, text);
    chmodSync(path, mode);
    utimesSync(path, release.epochSeconds, release.epochSeconds);
  };
  const entries = tree.entries('deb');
  const configs = entries.filter(({ kind }) => kind === 'config');
  put('control', control(tree, release));
  put('conffiles', configs.map(({ path }) => `${path}\n`).join(''));
  put(
    'md5sums',
    entries
      .filter(({ kind }) => kind !== 'config')
      .map(({ path }) => `${md5(tree.read(path))}  ${path.slice(1)}\n`)
      .join(''),
  );
  for (const scriptlet of scriptlets) {
    if (scriptlet.deb !== undefined) put(scriptlet.deb, scriptText(scriptlet), 0o755);
  }
}

function control(tree: Tree, { packageVersion, machine, maintainer }: Release): string {
  const bytes = tree.entries('deb').reduce((sum, { path }) => sum + tree.read(path).length, 0);
  return readFileSync(join(root, 'packaging/deb/control'), 'utf8')
    .replace('@VERSION@', packageVersion)
    .replace('@ARCHITECTURE@', machine.deb)
    .replace('@MAINTAINER@', maintainer)
    .replace('@SIZE_KIB@', String(Math.ceil(bytes / 1024)));
}

function md5(contents: Buffer): string {
  return createHash('md5').update(contents).digest('hex');
}
