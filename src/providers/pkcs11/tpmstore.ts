// The store of tpm2-pkcs11: what the TPM has sealed of its keys, which opens with that TPM
// alone. Root writes it, and the daemon reads it. The module makes a lock file beside it, for
// which the daemon has no right there: it uses a copy in its runtime folder (40 KB).
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { KleidiError, reasonOf } from '../../errors.ts';
import { isErrno, writeFileAtomically } from '../../files.ts';
import { readForeignFile } from '../../readfile.ts';
import { tpmStorePath } from '../../tpmmodule.ts';
import type { Pkcs11Settings } from './settings.ts';

/** A KEK takes some 6 KB. */
const maxStoreBytes = 16 * 1024 * 1024;

/**
 * The same settings with a copy of the store as it is now. One that is in use is replaced, not
 * changed: who has it open goes on with what it was.
 * @throws KleidiError token-missing, file-failed
 */
export async function withCopiedStore(settings: Pkcs11Settings): Promise<Pkcs11Settings> {
  if (settings.tpm === undefined) return settings;
  const { store, tcti } = settings.tpm;
  const folder = join(settings.runtimeDir, 'tpm');
  const contents = await readStore(tpmStorePath(store));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFileAtomically(tpmStorePath(folder), contents, 0o600);
  return { ...settings, tpm: { store: folder, tcti } };
}

async function readStore(path: string): Promise<Buffer> {
  try {
    return await readForeignFile(path, maxStoreBytes);
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) throw missing(path, cause);
    const text = `the store of the TPM cannot be read: ${path}: ${reasonOf(cause)}`;
    throw new KleidiError('file-failed', text, {
      hint: `it belongs to root and group kleidi, mode 0640, in a folder of mode 0750`,
      cause,
    });
  }
}

function missing(path: string, cause: unknown): KleidiError {
  return new KleidiError('token-missing', `the store of the TPM does not exist: ${path}`, {
    hint: 'put it back from a backup of this very host; kleidi tpm create makes a new one, and KEKs of another machine or of a lost store are gone',
    cause,
  });
}
