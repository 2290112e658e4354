// The staged tree: every file that a package installs, once, with its mode and
// what it is to a package manager. Both formats are packed from it.
import {
  chmodSync,
  copyFileSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { constants, gzipSync } from 'node:zlib';

/** `config` is kept when the operator has changed it. */
export type Kind = 'file' | 'config' | 'doc' | 'license';
export type Format = 'deb' | 'rpm';

export interface Entry {
  /** Where it is installed: absolute. */
  readonly path: string;
  readonly mode: number;
  readonly kind: Kind;
  /** In this format alone. */
  readonly only?: Format;
}

export interface EntryOptions {
  readonly mode?: number;
  readonly kind?: Kind;
  readonly only?: Format;
}

export class Tree {
  readonly folder: string;
  readonly #entries = new Map<string, Entry>();

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Where a file of the tree is while it is built. */
  at(path: string): string {
    return join(this.folder, path);
  }

  copy(source: string, path: string, options: EntryOptions = {}): void {
    this.#makeFolder(path);
    copyFileSync(source, this.at(path));
    this.note(path, options);
  }

  write(path: string, contents: string | Buffer, options: EntryOptions = {}): void {
    this.#makeFolder(path);
    writeFileSync(this.at(path), contents);
    this.note(path, options);
  }

  /** Without name and time in the header, so that equal texts give equal files. */
  writeGzip(path: string, contents: string | Buffer, options: EntryOptions = {}): void {
    const packed = gzipSync(contents, { level: constants.Z_BEST_COMPRESSION });
    this.write(path, packed, options);
  }

  /** Enters a file that something else has put there already. */
  note(path: string, { mode = 0o644, kind = 'file', only }: EntryOptions = {}): void {
    chmodSync(this.at(path), mode);
    this.#entries.set(path, { path, mode, kind, ...(only === undefined ? {} : { only }) });
  }

  entries(format?: Format): Entry[] {
    return [...this.#entries.values()]
      .filter(({ only }) => format === undefined || only === undefined || only === format)
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  read(path: string): Buffer {
    return readFileSync(this.at(path));
  }

  /** The files of one format in a folder of their own, as hard links. */
  layOut(format: Format, folder: string): void {
    for (const { path } of this.entries(format)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true, mode: 0o755 });
      linkSync(this.at(path), join(folder, path));
    }
  }

  stamp(epochSeconds: number): void {
    for (const { path } of this.entries()) lutimesSync(this.at(path), epochSeconds, epochSeconds);
  }

  #makeFolder(path: string): void {
    mkdirSync(dirname(this.at(path)), { recursive: true, mode: 0o755 });
  }
}
