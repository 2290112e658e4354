// Makes the PINs of a new host and stores them where the configuration says. What exists is
// never replaced.
import { existsSync } from 'node:fs';
import type { Config } from '../../config.ts';
import { writeFileAtomically, writeNewFile } from '../../files.ts';
import {
  encryptedCredential,
  parseReference,
  readSecret,
  secretPaths,
} from '../../host/credentials.ts';
import { keepHostKey } from '../../host/hostkey.ts';
import { pinPartPath, wrapPin } from '../../keyring/pinpart.ts';
import type { RecoveryKey } from '../../keyring/recoverypublickey.ts';
import type { Reader } from '../../providers/pkcs11/tokenfolder.ts';
import { randomPin, sealSecret, settled } from '../pin/seal.ts';
import type { SealPolicy } from '../pin/systemdcreds.ts';

export function secretExists(reference: string): boolean {
  return secretPaths(reference).some((path) => existsSync(path));
}

/**
 * Makes and stores a PIN where there is none. It is on disk before this returns.
 * @param reader who must be able to read a `file:` PIN: the daemon
 */
export async function ensurePin(
  reference: string,
  reader: Reader | undefined,
  policy: SealPolicy,
): Promise<void> {
  if (secretExists(reference)) return;
  const sealed = await sealSecret(reference, randomPin(), reader, policy);
  await writeNewFile(sealed.path, sealed.contents, sealed.mode, sealed.owner);
  await settled(reference);
}

/** For a host that was provisioned by a kleidi that kept no copy of the host key. */
export async function keepHostKeyOf(reference: string): Promise<void> {
  const parsed = parseReference(reference);
  if (parsed.kind === 'credential' && existsSync(encryptedCredential(parsed.name))) {
    await keepHostKey();
  }
}

/** Each time anew: what is there may be of another PIN. @throws KleidiError pin-missing */
export async function keepPinFor(config: Config, recovery: RecoveryKey): Promise<void> {
  const { pin, token } = config.pkcs11;
  const part = wrapPin(await readSecret(pin, process.env), token, recovery);
  await writeFileAtomically(pinPartPath(config.ring), part, 0o600);
}
