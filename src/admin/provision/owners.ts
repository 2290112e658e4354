// Gives everything that provision makes or finds to whom it should belong, as root: after a
// restore by hand, or where it was made before its folder was the daemon's to read.
import type { Config } from '../../config.ts';
import { reasonOf } from '../../errors.ts';
import { isErrno, type Owner } from '../../files.ts';
import { type Due, isAsDue, ownersDue, tokenOwnerDue } from '../../host/owners.ts';
import { foreignEntries, openForeign } from '../../readfile.ts';
import { isSoftHsm, softHsmFolder } from '../../softhsm.ts';
import { note, warn } from '../../terminal.ts';

/** Safe to repeat. What cannot be mended is said: it may serve all the same. */
export async function mendOwners(config: Config): Promise<void> {
  const owner = tokenOwnerDue(config);
  if (owner === undefined) return;
  for (const due of [...tokenDue(config, owner), ...ownersDue(config, owner)]) {
    await mend(due).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return;
      warn(`owner and mode of ${due.path} cannot be put right: ${reasonOf(error)}`);
    });
  }
}

function tokenDue({ pkcs11 }: Config, owner: Owner): readonly Due[] {
  const folder = isSoftHsm(pkcs11.module) ? softHsmFolder(pkcs11.softhsmConf) : undefined;
  if (folder === undefined) return [];
  const [asFolder, asFile] = [0o750, 0o640].map((mode) => ({ owner, least: mode, most: mode }));
  const inside = foreignEntries(folder).flatMap((entry) => {
    const due = entry.isDirectory() ? asFolder : entry.isFile() ? asFile : undefined;
    return due === undefined ? [] : [{ path: entry.path, ...due }];
  });
  return asFolder === undefined ? [] : [{ path: folder, ...asFolder }, ...inside];
}

/** Through no link, and nothing that has a second name: its owner may have put it there. */
async function mend(due: Due): Promise<void> {
  const handle = await openForeign(due.path);
  try {
    const found = await handle.stat();
    if (isAsDue(found, due)) return;
    if (found.isFile() && found.nlink > 1) throw new Error('it has a second name (hard link)');
    await handle.chown(due.owner.uid, due.owner.gid);
    await handle.chmod(due.least);
    note(`${due.path}: owner and mode put right`);
  } finally {
    await handle.close();
  }
}
