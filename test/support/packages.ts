// Packages as `npm run package` makes them.
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const packagesFolder = join(root, 'dist/packages');

export type PackageKind = 'deb' | 'rpm';

const built = new Map<string, string>();

/**
 * Path of the package; built where it is missing or older than its sources.
 * @param version another than the one of this tree, for upgrades
 */
export function builtPackage(kind: PackageKind, version = ''): string {
  const out = built.get(version) ?? build(version);
  built.set(version, out);
  const [file] = globSync(join(out, `kleidi*.${kind}`));
  if (file === undefined) throw new Error(`npm run package made no ${kind} in ${out}`);
  return file;
}

/** One build at a time, whichever test asks. @returns the folder of the packages */
function build(version: string): string {
  const out = join(packagesFolder, version);
  mkdirSync(out, { recursive: true });
  const env = version === '' ? {} : { KLEIDI_PACKAGE_VERSION: version, KLEIDI_PACKAGE_OUT: out };
  const lock = join(packagesFolder, '.lock');
  const { status } = spawnSync('flock', [lock, 'npm', 'run', '--silent', 'package'], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) throw new Error('npm run package failed');
  return out;
}
