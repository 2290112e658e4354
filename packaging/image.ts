// npm run image: an OCI image layout of kleidi, without a daemon or another builder. Two
// builds of one commit with the same Debian packages give the same bytes.
//
//   npm run image -- [--out FOLDER]     default: dist/image
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { containerId } from '../src/container/hostfolders.ts';
import { checkSymbolVersions } from './glibc.ts';
import { debianEntries, downloadPackages } from './image/debianpackages.ts';
import { imageBill } from './image/imagebill.ts';
import { type ImageFacts, writeLayout } from './image/layout.ts';
import { checkLibraries } from './image/needed.ts';
import { programEntries } from './image/programentries.ts';
import { tar } from './image/tar.ts';
import { root } from './program.ts';
import { type Release, readRelease } from './release.ts';
import { sbomPath, stageProgram } from './stage.ts';
import { Tree } from './tree.ts';

async function build(release: Release, work: string): Promise<string> {
  const packages = downloadPackages(join(root, 'dist/debian'));
  const system = debianEntries(packages, join(work, 'debian'));
  const tree = new Tree(join(work, 'program'));
  await stageProgram(tree, release);
  checkSymbolVersions(tree);
  tree.write(sbomPath, imageBill(tree.read(sbomPath).toString(), packages));
  const program = programEntries(tree);
  checkLibraries([...system, ...program]);
  const layout = join(work, 'layout');
  writeLayout(layout, factsOf(release), [
    { what: 'libraries and programs of Debian', tar: tar(system, release.epochSeconds) },
    { what: 'kleidi', tar: tar(program, release.epochSeconds) },
  ]);
  return layout;
}

function factsOf({ version, machine, epochSeconds, maintainer }: Release): ImageFacts {
  const created = new Date(epochSeconds * 1000).toISOString();
  return {
    architecture: machine.deb,
    created,
    // What podman and containerd call it when they load it.
    name: `localhost/kleidi:${version}`,
    user: `${containerId}:${containerId}`,
    entrypoint: programOfUnit(),
    command: ['help'],
    labels: {
      'org.opencontainers.image.title': 'kleidi',
      'org.opencontainers.image.description': 'Kubernetes KMS v2 plugin for PKCS#11 tokens',
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.created': created,
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.authors': maintainer,
    },
  };
}

/** Node with the flags that it has on a host, and kleidi.js; the verb is the caller's. */
function programOfUnit(): readonly string[] {
  const unit = readFileSync(join(root, 'systemd/kleidi.service'), 'utf8');
  const [, program] = /^ExecStart=(.+) serve$/m.exec(unit) ?? [];
  if (program === undefined) throw new Error('kleidi.service has no ExecStart= that serves');
  return program.split(' ');
}

/** An earlier image is replaced, and nothing else. */
function requireReplaceable(out: string): void {
  if (!existsSync(out) || readdirSync(out).length === 0) return;
  if (existsSync(join(out, 'oci-layout'))) return;
  throw new Error(`${out} holds something else than an image: name another folder with --out`);
}

// What dpkg-deb creates must not depend on who builds.
process.umask(0o022);
const { values } = parseArgs({ options: { out: { type: 'string', default: 'dist/image' } } });
const out = resolve(root, values.out);
requireReplaceable(out);
// In the project: what V8 makes of the program hangs on whether it finds its add-ons.
mkdirSync(join(root, 'dist'), { recursive: true });
const work = mkdtempSync(join(root, 'dist/.image-'));
try {
  const layout = await build(readRelease(process.env), work);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(dirname(out), { recursive: true });
  cpSync(layout, out, { recursive: true });
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.stdout.write(`${out}\n`);
