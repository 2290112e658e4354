// What the files were before kleidi changed them first, and what it has made of
// them: beside the ring, for root alone, outside of any folder that a kubelet
// reads. With it a change is undone byte for byte, also one that was cut short.
import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KleidiError } from '../errors.ts';
import { isErrno, writeFileAtomically } from '../files.ts';
import { readOwnFile } from '../readfile.ts';
import type { FileChange } from './change.ts';

interface RecordedFile {
  readonly path: string;
  /** base64; null where there was no file. */
  readonly original: string | null;
  /**
   * SHA-256 of all that kleidi has written, null where it removed the file. All, since
   * a run that was killed may have left what the run before it wrote.
   */
  readonly written: readonly (string | null)[];
}

interface RecordText {
  readonly format: 1;
  readonly files: readonly RecordedFile[];
}

export class ChangeRecord {
  readonly #files: readonly RecordedFile[];

  private constructor(files: readonly RecordedFile[]) {
    this.#files = files;
  }

  /** @throws KleidiError file-failed */
  static async read(path: string): Promise<ChangeRecord | undefined> {
    try {
      const { files } = JSON.parse(await readOwnFile(path)) as RecordText;
      return new ChangeRecord(files);
    } catch (cause) {
      if (isErrno(cause, 'ENOENT')) return undefined;
      throw new KleidiError(
        'file-failed',
        `${path} cannot be read, so it is not known what was changed`,
        {
          hint: 'fix or move the file; without it, apiserver disable takes out only what kleidi adds',
          cause,
        },
      );
    }
  }

  /** Written before the files are: the first original of each is kept for ever. */
  static async write(
    path: string,
    before: ChangeRecord | undefined,
    changes: readonly FileChange[],
  ): Promise<void> {
    const kept = new Map(
      (before === undefined ? [] : before.#files).map((file) => [file.path, file]),
    );
    for (const { path: file, before: text, after } of changes) {
      const first = kept.get(file);
      const now = text === undefined ? null : Buffer.from(text).toString('base64');
      const original = first === undefined ? now : first.original;
      const written = [...new Set([...(first?.written ?? []), digest(after)])];
      kept.set(file, { path: file, original, written });
    }
    const record: RecordText = { format: 1, files: [...kept.values()] };
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFileAtomically(path, `${JSON.stringify(record, null, 2)}\n`, 0o600);
  }

  /** The original, where the file is still what kleidi has made of it. */
  originalOf(
    path: string,
    text: string | undefined,
  ): { readonly contents: string | undefined } | undefined {
    const file = this.#files.find((each) => each.path === path);
    if (file === undefined || !file.written.includes(digest(text))) return undefined;
    const { original } = file;
    return { contents: original === null ? undefined : Buffer.from(original, 'base64').toString() };
  }

  /** The original of a file that kleidi has changed; empty where there was none. */
  firstOf(path: string): string | undefined {
    const file = this.#files.find((each) => each.path === path);
    return file && Buffer.from(file.original ?? '', 'base64').toString();
  }
}

export function recordPath(ringPath: string): string {
  return join(dirname(ringPath), 'apiserver', 'record.json');
}

export async function removeRecord(path: string): Promise<void> {
  await rm(path, { force: true });
}

function digest(text: string | undefined): string | null {
  return text === undefined ? null : createHash('sha256').update(text).digest('hex');
}
