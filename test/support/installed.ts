// Packages as `npm run package` makes them, and hosts that have them installed.
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KmsClient } from './client.ts';
import { type BootOptions, SystemHost } from './systemhost.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'dist/packages');
/** Where hosts see the folder of the packages. */
const folderInHost = '/opt/packages';

/**
 * The package as a host sees it; built where it is missing.
 * @param version another than the one of this tree, for upgrades
 */
export function packageFile(kind: 'deb' | 'rpm', version?: string): string {
  const out = join(folder, version ?? '');
  const find = (): string | undefined => globSync(join(out, `*.${kind}`))[0];
  const found = find() ?? build(out, version, find);
  return join(folderInHost, found.slice(folder.length));
}

function build(out: string, version: string | undefined, find: () => string | undefined): string {
  mkdirSync(out, { recursive: true });
  const env =
    version === undefined ? {} : { KLEIDI_PACKAGE_VERSION: version, KLEIDI_PACKAGE_OUT: out };
  const made = spawnSync('flock', [join(folder, '.lock'), 'npm', 'run', '--silent', 'package'], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const file = find();
  if (made.status !== 0 || file === undefined)
    throw new Error(`npm run package made nothing in ${out}`);
  return file;
}

/** Booted, with the packages at hand but none installed. */
export async function bareHost(options: BootOptions = {}): Promise<SystemHost> {
  packageFile('deb');
  return SystemHost.boot({
    ...options,
    bind: [`${folder}:${folderInHost}`, ...(options.bind ?? [])],
  });
}

/** Booted, with the package installed as an operator installs it: provisioned and started. */
export async function installedHost(options: BootOptions = {}): Promise<SystemHost> {
  const host = await bareHost(options);
  host.sh(`dpkg -i ${packageFile('deb')}`);
  return host;
}

/** A client on the host's socket, as root. Good until the host reboots. */
export function clientOf(host: SystemHost): KmsClient {
  return new KmsClient(host.outside('/run/kleidi/kms.sock'));
}
