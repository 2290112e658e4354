// Moves what a replacement takes the place of into a folder that root alone reads. Nothing is
// deleted but what was copied to another file system and is on its disk.
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KleidiError, reasonOf } from '../../errors.ts';
import { isErrno, syncFolder, syncTree } from '../../files.ts';

/** Where it is there; safe to repeat. @throws KleidiError file-failed */
export async function moveAside(path: string, folder: string): Promise<void> {
  if (!existsSync(path)) return;
  const target = freeName(join(folder, basename(path)));
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await rename(path, target).catch(async (error: unknown) => {
      if (!isErrno(error, 'EXDEV')) throw error;
      await copyOver(path, target);
    });
    for (const changed of [folder, dirname(path)]) await syncFolder(changed);
  } catch (cause) {
    throw new KleidiError('file-failed', `${path} cannot be moved: ${reasonOf(cause)}`, {
      hint: 'run as root, check the disk, then run the same command again: it goes on where it stopped',
      cause,
    });
  }
}

/** Under another name in its own folder. */
export async function renameAside(path: string): Promise<void> {
  if (!existsSync(path)) return;
  await rename(path, freeName(`${path}.replaced`));
  await syncFolder(dirname(path));
}

/** A token folder may be a mount of its own, and has the owner that it should have: it stays. */
export async function moveContentsAside(path: string, folder: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const name of await readdir(path)) await moveAside(join(path, name), folder);
}

/** Killed after the copy is in place, the next run makes a second one. */
async function copyOver(path: string, target: string): Promise<void> {
  const half = `${target}.unfinished`;
  await rm(half, { recursive: true, force: true });
  await cp(path, half, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  await rename(half, target);
  await syncTree(dirname(target));
  await rm(path, { recursive: true });
}

function freeName(path: string): string {
  const names = [path, ...Array.from({ length: 99 }, (_, i) => `${path}.${i + 2}`)];
  return names.find((name) => !existsSync(name)) ?? path;
}
