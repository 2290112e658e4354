// Carries a plan out: each file replaced at once, in order; where one fails, the
// ones before it go back. Nothing is ever left in a folder that a kubelet reads
// but the file itself: temporary names begin with a dot, which kubelets skip.
import { mkdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KleidiError } from '../errors.ts';
import { syncFolder, writeFileAtomically } from '../files.ts';
import type { FileChange } from './plan.ts';

/** @throws KleidiError file-failed; all files are as before then */
export async function carryOut(root: string, changes: readonly FileChange[]): Promise<void> {
  const done: FileChange[] = [];
  for (const change of changes) {
    try {
      await write(root, change.path, change.after, change.mode);
      done.push(change);
    } catch (thrown) {
      for (const { path, before, mode } of done.reverse()) await write(root, path, before, mode);
      const { message, hint } = KleidiError.from(thrown);
      throw new KleidiError('file-failed', `${message}; everything is as it was before`, {
        hint: hint ?? 'check that the file system is not read-only, then run the command again',
        cause: thrown,
      });
    }
  }
}

async function write(
  root: string,
  path: string,
  text: string | undefined,
  mode: number,
): Promise<void> {
  const file = join(root, path);
  if (text === undefined) return remove(file, path);
  const old = await stat(file).catch(() => undefined);
  await mkdir(dirname(file), { recursive: true, mode: 0o755 }).catch((cause: unknown) => {
    throw failed(path, cause);
  });
  await writeFileAtomically(file, text, old === undefined ? mode : old.mode & 0o7777, old);
}

async function remove(file: string, path: string): Promise<void> {
  try {
    await rm(file, { force: true });
    await syncFolder(dirname(file)).catch(() => undefined);
  } catch (cause) {
    throw failed(path, cause);
  }
}

function failed(path: string, cause: unknown): KleidiError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new KleidiError('file-failed', `${path} cannot be changed: ${why}`, {
    hint: 'run as root, and check that the file system is not read-only',
    cause,
  });
}
