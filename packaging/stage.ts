// What is installed where. One list for both formats; docs/operations.md shows
// an operator the same.
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { softHsmSettings } from '../src/softhsm.ts';
import { debianChangelog } from './changelog.ts';
import { documents } from './documents.ts';
import { licenseText } from './licenses.ts';
import { requirePinned } from './nodechecksum.ts';
import { nativePackages, shippedPackages } from './npmpackages.ts';
import { bundleProgram, programFiles, root } from './program.ts';
import type { Release } from './release.ts';
import { billOfMaterials } from './sbom.ts';
import { firstBoot, scriptText } from './scriptlets.ts';
import { buildPolicy } from './selinux.ts';
import { runTool } from './tool.ts';
import { Tree } from './tree.ts';

const lib = '/usr/lib/kleidi';
const doc = '/usr/share/doc/kleidi';
export const sbomPath = `${doc}/sbom.cdx.json`;
const stripped = ['--strip-unneeded', '--remove-section=.comment', '--remove-section=.note'];
const units = '/usr/lib/systemd/system';

/** Builds the program and lays out everything that the packages hold. */
export async function stage(folder: string, release: Release): Promise<Tree> {
  const tree = new Tree(folder);
  await stageProgram(tree, release);
  stageHost(tree);
  stageDocs(tree, release);
  stageFormats(tree);
  tree.stamp(release.epochSeconds);
  return tree;
}

/** Node, the program, its add-ons and what is written of them: all that an image needs. */
export async function stageProgram(tree: Tree, release: Release): Promise<void> {
  const runtime = join(root, 'node_modules', release.machine.node);
  requirePinned(join(runtime, 'bin/node'), process.arch);
  tree.copy(join(runtime, 'bin/node'), `${lib}/bin/node`, { mode: 0o755 });
  tree.copy(join(root, 'packaging/kleidi.sh'), '/usr/bin/kleidi', { mode: 0o755 });
  const node = join(runtime, 'bin/node');
  const inputs = await bundleProgram(tree.at(lib), node, release.version);
  // Not executable: its first line asks for any node, and bin/node runs it here.
  for (const name of programFiles) tree.note(`${lib}/${name}`);
  for (const { name, folder, files } of nativePackages()) {
    for (const file of files) {
      tree.copy(join(folder, file), `${lib}/node_modules/${name}/${file}`);
      if (file.endsWith('.node')) {
        runTool('strip', [...stripped, tree.at(`${lib}/node_modules/${name}/${file}`)]);
      }
    }
  }
  const packages = shippedPackages(inputs, release.machine.node);
  tree.write(sbomPath, billOfMaterials(packages, runtime, release), { kind: 'doc' });
  tree.writeGzip(`${doc}/licenses.txt.gz`, licenseText(packages), { kind: 'license' });
}

function stageHost(tree: Tree): void {
  const systemd = (name: string): string => join(root, 'systemd', name);
  for (const file of globSync(systemd('*.{service,socket}')).sort()) {
    tree.copy(file, `${units}/${basename(file)}`);
  }
  tree.copy(systemd('kleidi.sysusers'), '/usr/lib/sysusers.d/kleidi.conf');
  tree.copy(systemd('kleidi.tmpfiles'), '/usr/lib/tmpfiles.d/kleidi.conf');
  // Before 90-default and 99-default-disable, which would disable both units.
  tree.copy(systemd('kleidi.preset'), '/usr/lib/systemd/system-preset/80-kleidi.preset');
  tree.copy(systemd('kleidi.catalog'), '/usr/lib/systemd/catalog/kleidi.catalog');
  tree.copy(systemd('before-start'), `${lib}/before-start`, { mode: 0o755 });
  tree.write(`${lib}/first-boot`, scriptText(firstBoot), { mode: 0o755 });
  for (const file of globSync(systemd('drop-ins/*.conf')).sort()) {
    tree.copy(file, `${lib}/drop-ins/${basename(file)}`);
  }
  for (const file of globSync(join(root, 'packaging/monitoring/*')).sort()) {
    tree.copy(file, `/usr/share/kleidi/${basename(file)}`);
  }
  // tmpfiles gives it to the group kleidi (0640), which the host does not know yet.
  tree.copy(join(root, 'docs/kleidi.yaml'), '/etc/kleidi/kleidi.yaml', { kind: 'config' });
  const softHsm = softHsmSettings('/var/lib/kleidi/tokens');
  tree.write('/etc/kleidi/softhsm2.conf', softHsm, { kind: 'config' });
}

function stageDocs(tree: Tree, release: Release): void {
  const made = documents(tree.at(`${lib}/kleidi.js`));
  const man = '/usr/share/man';
  tree.writeGzip(`${man}/man8/kleidi.8.gz`, made.kleidi8, { kind: 'doc' });
  tree.writeGzip(`${man}/man5/kleidi.yaml.5.gz`, made.kleidiYaml5, { kind: 'doc' });
  tree.write('/usr/share/bash-completion/completions/kleidi', made.completion);
  for (const file of globSync(join(root, 'docs/*.{md,svg}'))) {
    tree.copy(file, `${doc}/${basename(file)}`, { kind: 'doc' });
  }
  const readme = installedReadme(readFileSync(join(root, 'README.md'), 'utf8'));
  tree.write(`${doc}/README.md`, readme, { kind: 'doc' });
  const example = join(root, 'docs/install.conf');
  tree.copy(example, `${doc}/examples/install.conf`, { kind: 'doc' });
  for (const file of globSync('**/*.proto', { cwd: join(root, 'proto') })) {
    tree.copy(join(root, 'proto', file), `${doc}/proto/${basename(file)}`, { kind: 'doc' });
  }
  const changes = readFileSync(join(root, 'CHANGELOG.md'), 'utf8');
  tree.writeGzip(`${doc}/changelog.gz`, debianChangelog(changes, release), { only: 'deb' });
  tree.write(`${doc}/CHANGELOG.md`, changes, { kind: 'doc', only: 'rpm' });
}

/** All pages are in one folder there; of the collection and the changes there is none. */
function installedReadme(text: string): string {
  return text
    .replaceAll('[docs/', '[')
    .replaceAll('](docs/', '](')
    .replaceAll('](ansible/README.md)', '](ansible.md)')
    .replace(/\[([^\]]+)\]\(CHANGELOG\.md\)/g, '$1');
}

function stageFormats(tree: Tree): void {
  const packaging = (name: string): string => join(root, 'packaging', name);
  tree.copy(packaging('deb/copyright'), `${doc}/copyright`, { only: 'deb' });
  tree.copy(packaging('deb/lintian-overrides'), '/usr/share/lintian/overrides/kleidi', {
    only: 'deb',
  });
  const policy = buildPolicy(packaging('selinux'));
  tree.write('/usr/share/selinux/packages/kleidi.pp', policy, { only: 'rpm' });
}
