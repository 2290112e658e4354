// Is the Node that is shipped the one that its project has published? It comes from
// an npm package, which another account could publish. packaging/node.sha256 pins
// what is packed; and before a release its checksums are compared with nodejs.org's:
//
//   npm run check:node -- FOLDER
//
// FOLDER holds, from nodejs.org/dist/vVERSION, the archives node-vVERSION-linux-x64.tar.gz
// and -arm64.tar.gz, and SHASUMS256.txt, whose signature gpg has verified
// (SHASUMS256.txt.sig; github.com/nodejs/release-keys).
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from './program.ts';

const pinsFile = join(root, 'packaging/node.sha256');

/** From the name of a file to its SHA-256 in hex. */
type Checksums = ReadonlyMap<string, string>;

/** @param text as sha256sum writes it */
export function parseChecksums(text: string): Checksums {
  const lines = text.split('\n').flatMap((line) => {
    const [, sum, name] = /^([0-9a-f]{64}) [ *](\S+)$/.exec(line) ?? [];
    return sum === undefined || name === undefined ? [] : [[name, sum] as const];
  });
  return new Map(lines);
}

/** @throws Error where this is not the program that is pinned */
export function requirePinned(program: string, machine: string, pins = readPins()): void {
  const [name, pinned] = [...pins].find(([each]) => each.includes(`-linux-${machine}/`)) ?? [];
  const found = sha256(readFileSync(program));
  if (pinned === found) return;
  throw new Error(
    `${program} has SHA-256 ${found}, packaging/node.sha256 has ${pinned} for ${name}: compare it with the published one (npm run check:node), then pin it`,
  );
}

/**
 * The pinned programs against the published archives.
 * @returns the names of the programs that are equal
 * @throws Error where one differs, or an archive is not the published one
 */
export function requirePublished(folder: string, pins = readPins()): readonly string[] {
  const published = parseChecksums(readFileSync(join(folder, 'SHASUMS256.txt'), 'utf8'));
  return [...pins].map(([name, pinned]) => {
    const archive = `${name.split('/')[0]}.tar.gz`;
    const path = join(folder, archive);
    if (sha256(readFileSync(path)) !== published.get(archive)) {
      throw new Error(`${path} is not the archive that SHASUMS256.txt names`);
    }
    const program = execFileSync('tar', ['-xzOf', path, name], { maxBuffer: 512 << 20 });
    if (sha256(program) === pinned) return name;
    throw new Error(`${name} in ${basename(path)} is not the program that is pinned`);
  });
}

function readPins(): Checksums {
  return parseChecksums(readFileSync(pinsFile, 'utf8'));
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

const [, script, folder] = process.argv;
if (script?.endsWith('packaging/nodechecksum.ts')) {
  if (folder === undefined) throw new Error('usage: npm run check:node -- FOLDER');
  for (const name of requirePublished(folder)) process.stdout.write(`${name}: as published\n`);
}
