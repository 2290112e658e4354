// The npm packages that a kleidi package holds: what the bundle was made from,
// and the native add-ons beside it with what they load.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { external, root } from './program.ts';

export interface NpmPackage {
  readonly name: string;
  readonly folder: string;
  readonly version: string;
  readonly license: string;
  /** As the lock file has it: sha512-BASE64. */
  readonly integrity: string;
}

/** What an add-on needs at run time. */
const loaded = ['*.js', 'lib/**/*.js', 'package.json', 'build/Release/*.node'];
/** Header files, which the compiled add-on no longer needs. */
const buildOnly = new Set(['nan']);

interface LockedPackage {
  readonly version: string;
  readonly license?: string;
  readonly integrity?: string;
}

/** The add-ons and their own dependencies, with the files they need at run time. */
export function nativePackages(): { name: string; folder: string; files: string[] }[] {
  return nativeNames().map((name) => {
    const folder = join(root, 'node_modules', name);
    const files = globSync(loaded, { cwd: folder });
    if (files.length < 2) throw new Error(`${folder} is not built: sh .ci/setup`);
    return { name, folder, files: files.sort() };
  });
}

function nativeNames(): string[] {
  const names = new Set(external);
  for (const name of names) {
    const text = readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8');
    const { dependencies = {} } = JSON.parse(text) as { dependencies?: Record<string, string> };
    for (const dependency of Object.keys(dependencies)) {
      if (!buildOnly.has(dependency)) names.add(dependency);
    }
  }
  return [...names].sort();
}

/**
 * @param inputs files of the bundle, relative to the project
 * @param runtime name of the npm package that carries Node
 */
export function shippedPackages(inputs: readonly string[], runtime: string): NpmPackage[] {
  const bundled = inputs.flatMap((path) => {
    const at = /^(node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
    return at === undefined ? [] : [at];
  });
  const native = nativeNames().map((name) => `node_modules/${name}`);
  const paths = new Set([...bundled, ...native, `node_modules/${runtime}`]);
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockedPackage>;
  };
  return [...paths].sort().map((path) => describe(path, lock.packages[path]));
}

function describe(path: string, locked: LockedPackage | undefined): NpmPackage {
  if (locked?.integrity === undefined || locked.license === undefined) {
    throw new Error(`${path} is shipped, but package-lock.json does not vouch for it`);
  }
  return {
    name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
    folder: join(root, path),
    version: locked.version,
    license: locked.license,
    integrity: locked.integrity,
  };
}
