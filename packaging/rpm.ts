// The rpm, packed by rpmbuild from the staged tree: nothing is compiled, stripped
// or compressed again on the way, and no host name or time of day goes in.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rpmChangelog } from './changelog.ts';
import { root } from './program.ts';
import type { Release } from './release.ts';
import { scriptlets, scriptText } from './scriptlets.ts';
import { runTool } from './tool.ts';
import type { Entry, Tree } from './tree.ts';

/** The folders that kleidi alone has. */
const folders = ['/etc/kleidi', '/usr/lib/kleidi', '/usr/share/doc/kleidi'];

/** @returns path of the package, in `folder` */
export function packRpm(tree: Tree, release: Release, folder: string): string {
  const at = (name: string): string => join(folder, name);
  for (const name of ['rpm', 'scripts']) mkdirSync(at(name));
  tree.layOut('rpm', at('tree'));
  for (const scriptlet of scriptlets)
    writeFileSync(at(`scripts/${scriptlet.name}`), scriptText(scriptlet));
  writeFileSync(at('files'), fileList(tree.entries('rpm')));
  const spec = readFileSync(join(root, 'packaging/rpm/kleidi.spec'), 'utf8');
  const changes = rpmChangelog(readFileSync(join(root, 'CHANGELOG.md'), 'utf8'), release);
  writeFileSync(at('kleidi.spec'), `${spec}\n%changelog\n${changes}`);
  runTool('rpmbuild', ['-bb', ...definitions(release, folder), at('kleidi.spec')], {
    cwd: folder,
    env: { SOURCE_DATE_EPOCH: String(release.epochSeconds) },
  });
  return at(`rpm/kleidi-${release.packageVersion}-1.${release.machine.rpm}.rpm`);
}

function definitions({ packageVersion, machine, maintainer }: Release, folder: string): string[] {
  const defines = {
    packager: maintainer,
    _topdir: join(folder, 'rpmbuild'),
    _rpmdir: join(folder, 'rpm'),
    _build_name_fmt: '%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm',
    kleidi_version: packageVersion,
    kleidi_from: folder,
  };
  const args = Object.entries(defines).flatMap(([name, value]) => ['--define', `${name} ${value}`]);
  return [...args, '--target', `${machine.rpm}-linux`];
}

function fileList(entries: readonly Entry[]): string {
  const owned = foldersOf(entries).map((path) => `%dir %attr(0755,root,root) ${path}\n`);
  return [...owned, ...entries.map((entry) => `${fileLine(entry)}\n`)].join('');
}

function fileLine({ path, mode, kind }: Entry): string {
  const attributes = `%attr(0${mode.toString(8)},root,root)`;
  switch (kind) {
    case 'config':
      return `%config(noreplace) %verify(not mode group) ${attributes} ${path}`;
    case 'doc':
      return `%doc ${attributes} ${path}`;
    case 'license':
      return `%license ${attributes} ${path}`;
    case 'file':
      return `${attributes} ${path}`;
  }
}

/** Each folder of ours, and those below it, so that an erase leaves none behind. */
function foldersOf(entries: readonly Entry[]): string[] {
  const found = new Set<string>();
  for (const { path } of entries) {
    const top = folders.find((folder) => path.startsWith(`${folder}/`));
    if (top === undefined) continue;
    found.add(top);
    for (let at = top.length; at !== -1; at = path.indexOf('/', at + 1))
      found.add(path.slice(0, at));
  }
  return [...found].sort();
}
