// The licenses of all that is in the packages, in one text: kleidi's own, that of a word
// list in it, then each npm package's, Node's among them (with those of what it is linked with).
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NpmPackage } from './npmpackages.ts';
import { root } from './program.ts';

const rule = '='.repeat(78);

export function licenseText(packages: readonly NpmPackage[]): string {
  const own = section('kleidi', [join(root, 'LICENSE')], 'Apache-2.0');
  const others = packages.map(({ name, version, folder, license }) =>
    section(`${name} ${version}`, licenseFiles(folder), license),
  );
  const words = section('BIP-39 word list', [join(root, 'packaging/wordlist.LICENSE')], 'MIT');
  return [own, words, ...others].join('\n');
}

function licenseFiles(folder: string): string[] {
  return globSync(['LICENSE*', 'LICENCE*', 'license*', 'COPYING*', 'NOTICE*'], { cwd: folder })
    .sort()
    .map((file) => join(folder, file));
}

/** Some packages carry no text of their license: then its name stands alone. */
function section(title: string, files: readonly string[], license: string): string {
  const texts = files.map((file) => readFileSync(file, 'utf8').trimEnd());
  return `${rule}\n${title} (${license})\n${rule}\n\n${texts.join('\n\n')}\n`;
}
