// The store of the TPM's token is changed as a copy, which then takes its place in one step: what
// is killed half-way leaves the old one, and the daemon never reads one that is half written.
import { chown, copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import type { Config } from '../../config.ts';
import { type Owner, syncFolder, writeFileAtomically } from '../../files.ts';
import { firstOwner } from '../../keyring/ringfile.ts';
import { tpmStoreExists, tpmStorePath } from '../../tpmmodule.ts';

/**
 * Call it under the ring's lock.
 * @param work gets the folder of the copy, for root alone; what it throws leaves the store as it was
 */
export async function changeStore<T>(
  config: Config,
  work: (copy: string) => Promise<T>,
): Promise<T> {
  const { store } = config.tpm;
  const copy = copyOf(config);
  await dropCopy(config);
  await mkdir(copy, { recursive: true, mode: 0o700 });
  try {
    if (tpmStoreExists(store)) await copyFile(tpmStorePath(store), tpmStorePath(copy));
    const result = await work(copy);
    await keep(config, await readFile(tpmStorePath(copy)));
    return result;
  } finally {
    await dropCopy(config);
  }
}

function copyOf({ tpm }: Config): string {
  return `${tpm.store}.new`;
}

/** Also what a command that was killed has left. Call it under the ring's lock. */
export async function dropCopy(config: Config): Promise<void> {
  await rm(copyOf(config), { recursive: true, force: true });
}

/** Root's, and the daemon's group reads it, as the ring. */
async function keep({ ring, tpm }: Config, contents: Buffer): Promise<void> {
  const owner: Owner | undefined = await firstOwner(ring);
  await mkdir(tpm.store, { recursive: true, mode: 0o750 });
  if (owner !== undefined) await chown(tpm.store, owner.uid, owner.gid);
  await writeFileAtomically(tpmStorePath(tpm.store), contents, 0o640, owner);
  await syncFolder(tpm.store);
}
