// Work on a copy of a SoftHSM token. SoftHSM cuts token.object to nothing and writes it anew
// in place (2.6.1, ObjectFile::store), also at every login, for its flags: a process that
// dies in between leaves a token that no PIN opens, and a PIN that is only tried changes the
// token. So a PIN is tried on a copy, and a change is renamed into place.
import {
  chmod,
  copyFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, syncFolder, writeNewFile } from '../../../files.ts';
import { softHsmSettings } from '../../../softhsm.ts';

const tokenFile = 'token.object';
/** In a token's own folder, whose folders SoftHSM does not look at. */
const copyFolder = 'change';

/**
 * As the owner of the token folder, under its lock.
 * @param outcome whether what `work` does to the PINs is to be the token's
 * @param work on the copies of all tokens, which open by these settings
 */
export async function onCopy<T>(
  tokens: string,
  outcome: 'kept' | 'forgotten',
  work: (softhsmConf: string) => Promise<T>,
): Promise<T> {
  const names = await tokensIn(tokens);
  for (const name of names) await removeCopy(join(tokens, name, copyFolder));
  const copy = join(tokens, names[0] ?? '', copyFolder);
  try {
    for (const name of names) {
      await copyFiles(join(tokens, name), join(copy, 'tokens', name));
    }
    const conf = join(copy, 'softhsm2.conf');
    await writeNewFile(conf, softHsmSettings(join(copy, 'tokens')), 0o600);
    const result = await work(conf);
    if (outcome === 'kept') {
      for (const name of names) await takePlace(join(copy, 'tokens', name), join(tokens, name));
    }
    return result;
  } finally {
    await removeCopy(copy);
  }
}

async function tokensIn(folder: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await readdir(folder)) {
    const entries = await readdir(join(folder, name)).catch((error: unknown): string[] => {
      if (isErrno(error, 'ENOTDIR')) return [];
      throw error;
    });
    if (entries.includes(tokenFile)) found.push(name);
  }
  return found;
}

async function copyFiles(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (entry.isFile()) await copyFile(join(from, entry.name), join(to, entry.name));
  }
}

async function takePlace(from: string, to: string): Promise<void> {
  const [source, target] = [join(from, tokenFile), join(to, tokenFile)];
  if ((await readFile(source)).equals(await readFile(target))) return;
  await chmod(source, (await stat(target)).mode & 0o777);
  const handle = await open(source, 'r');
  await handle.sync().finally(() => handle.close());
  await rename(source, target);
  await syncFolder(to);
}

function removeCopy(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}
