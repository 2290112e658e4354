// A tar file (ustar) from a list of entries: sorted, with one time for all and no names of
// users, so that equal contents give equal bytes.
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';

interface Placed {
  /** In the image, without the leading slash. */
  readonly path: string;
  /** User and group by number; root where it is not there. */
  readonly id?: number;
}

export interface FileEntry extends Placed {
  readonly kind: 'file';
  readonly mode: number;
  readonly contents: Buffer | { readonly file: string };
}

export interface FolderEntry extends Placed {
  readonly kind: 'folder';
  readonly mode: number;
}

export interface LinkEntry extends Placed {
  readonly kind: 'link';
  readonly target: string;
}

export type ImageEntry = FileEntry | FolderEntry | LinkEntry;

const blockBytes = 512;
const typeFlags = { file: '0', link: '2', folder: '5' } as const;

/** Folders above the entries are put in where they are missing: root's, mode 0755. */
export function tar(entries: readonly ImageEntry[], epochSeconds: number): Buffer {
  const all = withFolders(entries);
  const parts = all.flatMap((entry) => {
    const contents = contentsOf(entry);
    return [header(entry, contents.length, epochSeconds), contents, padding(contents.length)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * blockBytes)]);
}

function withFolders(entries: readonly ImageEntry[]): ImageEntry[] {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  if (byPath.size !== entries.length) throw new Error('two entries of a layer have one path');
  for (const { path } of entries) {
    for (let above = dirname(path); above !== '.'; above = dirname(above)) {
      if (!byPath.has(above)) byPath.set(above, { kind: 'folder', path: above, mode: 0o755 });
    }
  }
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function contentsOf(entry: ImageEntry): Buffer {
  if (entry.kind !== 'file') return Buffer.alloc(0);
  return Buffer.isBuffer(entry.contents) ? entry.contents : readFileSync(entry.contents.file);
}

function padding(bytes: number): Buffer {
  return Buffer.alloc((blockBytes - (bytes % blockBytes)) % blockBytes);
}

function header(entry: ImageEntry, bytes: number, epochSeconds: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  const { name, prefix } = splitName(entry.kind === 'folder' ? `${entry.path}/` : entry.path);
  const id = octal(entry.id ?? 0, 7);
  const fields: readonly [number, string][] = [
    [0, name],
    [100, octal(entry.kind === 'link' ? 0o777 : entry.mode, 7)],
    [108, id],
    [116, id],
    [124, octal(bytes, 11)],
    [136, octal(epochSeconds, 11)],
    [148, ' '.repeat(8)],
    [156, typeFlags[entry.kind]],
    [157, entry.kind === 'link' ? within(entry.target, 100) : ''],
    [257, 'ustar\x0000'],
    [345, prefix],
  ];
  for (const [offset, text] of fields) block.write(text, offset, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, 'latin1');
  return block;
}

function octal(value: number, digits: number): string {
  return within(value.toString(8).padStart(digits, '0'), digits);
}

/** ustar has 100 bytes for the last part of a path, and 155 for what is before it. */
function splitName(path: string): { name: string; prefix: string } {
  if (path.length <= 100) return { name: path, prefix: '' };
  const at = path.indexOf('/', path.length - 101);
  return { name: within(path.slice(at + 1), 100), prefix: within(path.slice(0, at), 155) };
}

function within(text: string, bytes: number): string {
  if (/^[\x20-\x7e]*$/.test(text) && text.length <= bytes) return text;
  throw new Error(`'${text}' does not fit into a tar header`);
}
