// The folder of recovery bundles beside the ring: one file a KEK, as key create and import
// write it. Whoever has put other bundles there answers for them.
import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../../config.ts';
import { KleidiError, reasonOf } from '../../errors.ts';
import { isErrno, syncFolder } from '../../files.ts';
import { isBundleName } from '../../keyring/backup.ts';
import { readBundle } from '../../keyring/bundlefile.ts';
import type { Fingerprint } from '../../providers/provider.ts';

export function bundleFolder(config: Config): string {
  return join(dirname(config.ring), 'bundles');
}

export function recoveryBundlePath(config: Config, fp: Fingerprint): string {
  return join(bundleFolder(config), `${fp}.json`);
}

/** Paths of all of its files that a bundle may be. @throws KleidiError file-failed */
export async function bundlePaths(config: Config): Promise<string[]> {
  const folder = bundleFolder(config);
  const names = await readdir(folder).catch((cause: unknown) => {
    if (isErrno(cause, 'ENOENT')) return [];
    throw new KleidiError('file-failed', `${folder} cannot be read: ${reasonOf(cause)}`, {
      hint: 'run as root',
      cause,
    });
  });
  return names.filter(isBundleName).map((name) => join(folder, name));
}

/**
 * Removes what could bring a KEK back on this host.
 * @returns the bundles that hold other KEKs too, and stay
 */
export async function removeBundlesOf(config: Config, fp: Fingerprint): Promise<string[]> {
  const kept: string[] = [];
  for (const path of await bundlePaths(config)) {
    const bundle = await readBundle(path).catch(() => undefined);
    if (bundle?.keks.some((kek) => kek.fp === fp) !== true) continue;
    if (bundle.keks.length > 1) kept.push(path);
    else {
      await rm(path);
      await syncFolder(bundleFolder(config));
    }
  }
  return kept;
}
