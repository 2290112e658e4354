// What the image takes from packages of the distribution that it is built on (Debian or
// Ubuntu): the libraries of Node, of the add-ons and of SoftHSM; the few programs that kleidi
// runs; of each package its license and its record for scanners. Nothing else: no package
// manager, and no program that speaks to the network.
import { globSync, lstatSync, mkdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { runTool } from '../tool.ts';
import type { ImageEntry } from './tar.ts';

interface Wanted {
  /** The first that the distribution has. */
  readonly names: readonly string[];
  readonly take: RegExp;
}

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  readonly file: string;
  readonly take: RegExp;
}

/** Without modules of libc for character sets, which nothing here asks for. */
const libraries = /^(usr\/)?lib(64)?\/([a-z0-9_]+-linux-gnu\/)?[^/]+\.so(\.[0-9.]+)?$/;

const wanted: readonly Wanted[] = [
  // Its name and version for scanners; the licenses that the others refer to.
  {
    names: ['base-files'],
    take: /^(usr\/lib\/os-release|etc\/(os-release|debian_version)|usr\/share\/common-licenses\/.+)$/,
  },
  ...['libc6', 'libgcc-s1', 'libstdc++6'].map((name) => ({ names: [name], take: libraries })),
  // It has the license of the two before.
  { names: ['gcc-15-base', 'gcc-14-base', 'gcc-12-base'], take: /^$/ },
  ...['libsystemd0', 'libcap2', 'libgcrypt20', 'libgpg-error0', 'liblz4-1', 'liblzma5'].map(
    (name) => ({ names: [name], take: libraries }),
  ),
  { names: ['libzstd1'], take: libraries },
  { names: ['libsofthsm2'], take: /\/softhsm\/libsofthsm2\.so$/ },
  { names: ['libssl3t64', 'libssl3'], take: /\/libcrypto\.so\.3$/ },
  // For the lock of the ring: sh, flock, cat.
  { names: ['dash'], take: /^(usr\/)?bin\/(sh|dash)$/ },
  { names: ['util-linux'], take: /^usr\/bin\/flock$/ },
  // For /usr/bin/kleidi: env, sed; for a container that waits for commands: sleep.
  { names: ['coreutils'], take: /^(usr\/)?bin\/(cat|env|sleep)$/ },
  { names: ['sed'], take: /^(usr\/)?bin\/sed$/ },
  ...['libacl1', 'libselinux1', 'libpcre2-8-0'].map((name) => ({
    names: [name],
    take: libraries,
  })),
];

/** Distributions have merged these into /usr, some packages have not. */
const merged = ['bin', 'lib', 'lib64'] as const;

/**
 * Downloads what is not in `folder` already. apt checks the signatures.
 * @throws Error where this is no Debian or Ubuntu, or its lists lack a package
 */
export function downloadPackages(folder: string): readonly DebianPackage[] {
  mkdirSync(folder, { recursive: true });
  const chosen = choose();
  const records = recordsOf([...chosen.keys()]);
  const exact = records.map(({ name, version }) => `${name}=${version}`);
  runTool('apt-get', ['download', '-qq', ...exact], { cwd: folder });
  return records.map((record) => {
    const pattern = `${record.name}_${record.version.replaceAll(':', '%3a')}_*.deb`;
    const [file] = globSync(pattern, { cwd: folder });
    if (file === undefined) throw new Error(`apt-get download has left no ${pattern}`);
    return { ...record, take: chosen.get(record.name) ?? /^$/, file: join(folder, file) };
  });
}

function choose(): ReadonlyMap<string, RegExp> {
  const all = wanted.flatMap(({ names }) => names);
  const known = new Set(
    runTool('apt-cache', ['madison', ...all])
      .match(/^ *[^ |]+/gm)
      ?.map((name) => name.trim()),
  );
  return new Map(
    wanted.map(({ names, take }) => {
      const name = names.find((each) => known.has(each));
      if (name === undefined) throw new Error(`apt knows no ${names.join(' or ')}: apt-get update`);
      return [name, take];
    }),
  );
}

type AptRecord = Pick<DebianPackage, 'name' | 'version' | 'sha256'>;

function recordsOf(names: readonly string[]): readonly AptRecord[] {
  const text = runTool('apt-cache', ['show', '--no-all-versions', ...names]);
  const records = text
    .trimEnd()
    .split(/\n\n+/)
    .map((paragraph) => {
      const field = (key: string): string =>
        new RegExp(`^${key}: (.*)$`, 'm').exec(paragraph)?.[1]?.trim() ?? '';
      return { name: field('Package'), version: field('Version'), sha256: field('SHA256') };
    });
  return records.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @param folder each package gets a folder of its own there */
export function debianEntries(packages: readonly DebianPackage[], folder: string): ImageEntry[] {
  const links = merged.map(
    (name) => ({ kind: 'link', path: name, target: `usr/${name}` }) as const,
  );
  return [...links, ...packages.flatMap((each) => entriesOf(each, join(folder, each.name)))];
}

function entriesOf({ name, file, take }: DebianPackage, folder: string): ImageEntry[] {
  mkdirSync(folder, { recursive: true });
  runTool('dpkg-deb', ['--extract', file, folder]);
  const doc = `usr/share/doc/${name}`;
  const paths = globSync('**', { cwd: folder });
  const taken = paths.filter((path) => take.test(path) || path === `${doc}/copyright`);
  const entries = taken.map((path) => entryOf(folder, path));
  // A link to the folder of another package, which has the text.
  if (isLink(folder, doc)) entries.push(entryOf(folder, doc));
  return [...entries, statusOf(name, file)];
}

function isLink(folder: string, path: string): boolean {
  return lstatSync(join(folder, path), { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

function entryOf(folder: string, path: string): ImageEntry {
  const file = join(folder, path);
  const inImage = path.replace(/^(bin|lib|lib64)\//, 'usr/$1/');
  if (isLink(folder, path)) return { kind: 'link', path: inImage, target: readlinkSync(file) };
  const mode = lstatSync(file).mode & 0o777;
  return { kind: 'file', path: inImage, mode, contents: { file } };
}

/** Where scanners look for the packages of an image without a package manager. */
function statusOf(name: string, file: string): ImageEntry {
  const control = runTool('dpkg-deb', ['--field', file]);
  const path = `var/lib/dpkg/status.d/${name}`;
  return { kind: 'file', path, mode: 0o644, contents: Buffer.from(control) };
}
