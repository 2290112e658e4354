// The private recovery key as the offline commands are given it: a file, and a
// passphrase that is wiped once it has opened it.

import type { HybridPrivateKey } from '../../keyring/hybrid.ts';
import { openRecoveryKey } from '../../keyring/recoverykey.ts';
import { readPassphrase } from './passphrase.ts';

/**
 * @param fd of --passphrase-fd; without, the terminal is asked
 * @throws KleidiError file-failed, refused, usage
 */
export async function openRecovery(
  file: string,
  fd: string | undefined,
): Promise<HybridPrivateKey> {
  const passphrase = await readPassphrase(fd);
  return openRecoveryKey(file, passphrase).finally(() => passphrase.fill(0));
}
