// The bill of materials of the image: that of the packages, and what comes from Debian.
import { readFileSync } from 'node:fs';
import type { DebianPackage } from './debianpackages.ts';

interface Bill {
  readonly metadata: { readonly component: { readonly 'bom-ref': string } };
  readonly components: readonly { readonly 'bom-ref': string }[];
}

/** @param bill of the packages; one dependency is in it, of kleidi itself on all */
export function imageBill(bill: string, packages: readonly DebianPackage[]): string {
  const read = JSON.parse(bill) as Bill;
  const components = [...read.components, ...packages.map(componentOf)];
  const dependsOn = components.map((component) => component['bom-ref']);
  const dependencies = [{ ref: read.metadata.component['bom-ref'], dependsOn }];
  return `${JSON.stringify({ ...read, components, dependencies }, null, 2)}\n`;
}

function componentOf({ name, version, sha256, file }: DebianPackage) {
  const { id, release } = distribution();
  const architecture = /_([a-z0-9]+)\.deb$/.exec(file)?.[1] ?? '';
  const [inPurl, versionInPurl] = [name, version].map(encodeURIComponent);
  const purl = `pkg:deb/${id}/${inPurl}@${versionInPurl}?arch=${architecture}&distro=${id}-${release}`;
  const hashes = [{ alg: 'SHA-256', content: sha256 }];
  return { 'bom-ref': purl, type: 'library', name, version, purl, hashes };
}

/** Of the machine that builds: its packages are the image's. */
function distribution(): { id: string; release: string } {
  const text = readFileSync('/etc/os-release', 'utf8');
  const field = (key: string): string =>
    new RegExp(`^${key}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  return { id: field('ID'), release: field('VERSION_ID') };
}
