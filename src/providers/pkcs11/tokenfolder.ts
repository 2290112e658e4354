// SoftHSM's token folder: where it is, who writes it and who may read it. The package
// gives it to a user of its own, kleidi-token, so that the daemon, which reads by its
// group, can neither change the token nor signal a command's work on it.
import { existsSync, readFileSync, type Stats, statSync } from 'node:fs';
import { chmod, lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, type Owner } from '../../files.ts';

/** As whom the daemon reads; no uid where it reads by its group alone. */
export interface Reader {
  readonly uid: number | undefined;
  readonly gid: number;
}

const groupRead = 0o040;

/** The folder that a softhsm2.conf names, or '' where it names none. */
export function tokenFolder(softhsmConfText: string): string {
  return /^\s*directories\.tokendir\s*=\s*(.+?)\s*$/m.exec(softhsmConfText)?.[1] ?? '';
}

/** SoftHSM's token folder as it is; undefined where there is none. */
export function softHsmFolder(softhsmConf: string): string | undefined {
  if (!existsSync(softhsmConf)) return undefined;
  const folder = tokenFolder(readFileSync(softhsmConf, 'utf8'));
  return existsSync(folder) ? folder : undefined;
}

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
    const found = statSync(tokenFolder(readFileSync(softhsmConf, 'utf8')));
    return found.uid === 0 ? undefined : found;
  } catch {
    return undefined;
  }
}
