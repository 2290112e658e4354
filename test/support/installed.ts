// Hosts with kleidi's package at hand, or installed.
import { join } from 'node:path';
import { KmsClient } from './client.ts';
import { builtPackage, type PackageKind, packagesFolder } from './packages.ts';
import { type BootOptions, SystemHost } from './systemhost.ts';

/** Where hosts see the folder of the packages. */
export const folderInHost = '/opt/packages';

/** The package as a host sees it. @param version another than the one of this tree */
export function packageFile(kind: PackageKind, version?: string): string {
  return join(folderInHost, builtPackage(kind, version).slice(packagesFolder.length));
}

/** Booted, with the packages at hand but none installed. */
export async function bareHost(options: BootOptions = {}): Promise<SystemHost> {
  packageFile('deb');
  return SystemHost.boot({
    ...options,
    bind: [`${packagesFolder}:${folderInHost}`, ...(options.bind ?? [])],
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

/**
 * What a refused removal says to do once no API server uses kleidi any more. The two
 * minutes are for one that still does: here is none.
 */
export async function forgetCallers(host: SystemHost): Promise<void> {
  host.sh('systemctl restart kleidi');
  await host.until('kleidi status');
}
