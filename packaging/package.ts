// npm run package: dist/packages/kleidi_VERSION_ARCH.deb and
// kleidi-VERSION-1.ARCH.rpm, from one staged tree. Built again only when
// something that goes in has changed.
import { createHash } from 'node:crypto';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { packDeb } from './deb.ts';
import { checkSymbolVersions } from './glibc.ts';
import { root } from './program.ts';
import { type Release, readRelease } from './release.ts';
import { packRpm } from './rpm.ts';
import { stage } from './stage.ts';
import type { Tree } from './tree.ts';

function hashOf(tree: Tree, release: Release): string {
  const hash = createHash('sha256').update(JSON.stringify(release));
  for (const entry of tree.entries())
    hash.update(JSON.stringify(entry)).update(tree.read(entry.path));
  for (const file of globSync('packaging/**/*.*', { cwd: root }).sort()) {
    hash.update(file).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}

function upToDate(release: Release, hash: string): boolean {
  const record = join(release.out, '.inputs');
  return (
    existsSync(record) &&
    readFileSync(record, 'utf8') === hash &&
    globSync(join(release.out, 'kleidi*.{deb,rpm}')).length === 2
  );
}

/** The folder holds the packages of one build, never of two. */
function publish(release: Release, files: readonly string[], hash: string): void {
  for (const old of globSync(join(release.out, 'kleidi*.{deb,rpm}'))) rmSync(old);
  for (const file of files) renameSync(file, join(release.out, basename(file)));
  writeFileSync(join(release.out, '.inputs'), hash);
}

// What dpkg-deb and rpmbuild create must not depend on who builds.
process.umask(0o022);
const release = readRelease(process.env);
mkdirSync(release.out, { recursive: true });
const work = mkdtempSync(join(release.out, '.build-'));
try {
  const tree = await stage(join(work, 'stage'), release);
  checkSymbolVersions(tree);
  const hash = hashOf(tree, release);
  if (!upToDate(release, hash)) {
    publish(release, [packDeb(tree, release, work), packRpm(tree, release, work)], hash);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
for (const file of globSync(join(release.out, 'kleidi*.{deb,rpm}')).sort()) {
  process.stdout.write(`${file}\n`);
}
