// What kleidi itself puts into the image: its program with Node, as the packages have it, the
// user that it runs as, its settings, and the folders that the host gives it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { containerId, hostFolders } from '../../src/container/hostfolders.ts';
import { softHsmSettings } from '../../src/softhsm.ts';
import { root } from '../program.ts';
import type { Tree } from '../tree.ts';
import type { ImageEntry } from './tar.ts';

const accounts = {
  'etc/passwd': `root:x:0:0:root:/root:/usr/sbin/nologin
kleidi:x:${containerId}:${containerId}:kleidi key service:/var/lib/kleidi:/usr/sbin/nologin
`,
  'etc/group': `root:x:0:
kleidi:x:${containerId}:
`,
} as const;

/** Of any container: made here for those who run the tree as it is. */
const mountPoints = [
  ...['dev', 'proc', 'sys'].map((path) => ({ kind: 'folder', path, mode: 0o755 }) as const),
  { kind: 'folder', path: 'tmp', mode: 0o1777 },
] as const;

/** @param tree with the program alone */
export function programEntries(tree: Tree): ImageEntry[] {
  const files = tree.entries().map(({ path, mode }): ImageEntry => {
    return { kind: 'file', path: path.slice(1), mode, contents: { file: tree.at(path) } };
  });
  const folders = hostFolders.map(
    ({ path, mode }) => ({ kind: 'folder', id: containerId, path: path.slice(1), mode }) as const,
  );
  const copyright = readFileSync(join(root, 'packaging/deb/copyright'), 'utf8');
  const settings = readFileSync(join(root, 'packaging/image/kleidi.yaml'), 'utf8');
  return [
    ...files,
    ...folders,
    ...Object.entries(accounts).map(([path, text]) => textFile(path, text)),
    textFile('etc/kleidi/kleidi.yaml', settings),
    textFile('etc/kleidi/softhsm2.conf', softHsmSettings('/var/lib/kleidi/tokens')),
    textFile('usr/share/doc/kleidi/copyright', copyright),
    ...mountPoints,
  ];
}

function textFile(path: string, text: string): ImageEntry {
  return { kind: 'file', path, mode: 0o644, contents: Buffer.from(text) };
}
