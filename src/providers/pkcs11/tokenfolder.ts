// SoftHSM's token folder: who writes it and who may read it. The package gives it to a user of its own, kleidi-token, so that the daemon, which reads by its
// group, can neither change the token nor signal a command's work on it.
import { type Stats, statSync } from 'node:fs';
import { chmod, lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, type Owner } from '../../files.ts';
import { namedTokenFolder } from '../../softhsm.ts';

/** As whom the daemon reads; no uid where it reads by its group alone. */
export interface Reader {
  readonly uid: number | undefined;
  readonly gid: number;
}

const groupRead = 0o040;

/**
 * The owner of the token folder where we are root and it is somebody else's;
 * undefined where no switch is needed or possible.
 */
export function tokenOwner(softhsmConf: string): Owner | undefined {
  const found = foreignFolder(softhsmConf);
  return found === undefined ? undefined : { uid: found.uid, gid: found.gid };
}

/** Undefined where the daemon is who we are. */
export function daemonReader(softhsmConf: string): Reader | undefined {
  const found = foreignFolder(softhsmConf);
  if (found === undefined) return undefined;
  return { uid: isShared(found) ? undefined : found.uid, gid: found.gid };
}

/**
 * Lets the group read what is new in a folder that it may read: SoftHSM makes its
 * files for their owner alone, whatever the umask (2.6.1). As the owner of the folder.
 */
export async function shareWithGroup(folder: string): Promise<void> {
  if (!isShared(await stat(folder))) return;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    await shareOne(join(entry.parentPath, entry.name)).catch((error: unknown) => {
      // Destroyed by another command meanwhile.
      if (!isErrno(error, 'ENOENT')) throw error;
    });
  }
}

async function shareOne(path: string): Promise<void> {
  const found = await lstat(path);
  const wanted = found.isDirectory() ? 0o750 : 0o640;
  const isOurs = found.uid === process.geteuid?.() && !found.isSymbolicLink();
  if (isOurs && (found.mode & 0o777) !== wanted) await chmod(path, wanted);
}

function isShared({ mode }: Stats): boolean {
  return (mode & groupRead) !== 0;
}

function foreignFolder(softhsmConf: string): Stats | undefined {
  if (process.getuid?.() !== 0) return undefined;
  try {
    const found = statSync(namedTokenFolder(softhsmConf));
    return found.uid === 0 ? undefined : found;
  } catch {
    return undefined;
  }
}
