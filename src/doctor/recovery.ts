// Doctor's group recovery: no KEK of a token without a way back. Vault's KEKs
// never leave it: their way back is Vault's own backup.
import { dirname, join } from 'node:path';
import type { Config } from '../config.ts';
import { parseReference } from '../host/credentials.ts';
import { pinPartPath } from '../keyring/pinpart.ts';
import { isUnretired, type RingKek } from '../keyring/ring.ts';
import { type Check, type Findings, noToken, notAsUser, ok, warn } from './check.ts';
import { statOf } from './filemode.ts';

export const recovery: Check = {
  group: 'recovery',
  needs: 'config',

  async run(subject) {
    const folder = join(dirname(subject.config().ring), 'bundles');
    const ring = await subject.ring().catch(() => undefined);
    if (ring === undefined) return warn('not checked: the ring cannot be read', 'see group ring');
    const keks = ring.keks.filter((kek) => isUnretired(kek) && kek.provider === 'pkcs11');
    const without = keks.filter((kek) => kek.recovery === null).map(withoutRecovery);
    const covered = keks.filter((kek) => kek.recovery !== null);
    if (keks.length === 0) return noToken;
    return [
      without,
      bundleFindings(folder, covered, subject.isRoot),
      pinFinding(subject.config(), covered),
    ];
  },
};

function withoutRecovery({ fp, state }: RingKek): Findings {
  return warn(
    `KEK ${fp} (${state}) has no recovery: if the token is lost, so is what it has sealed`,
    'make a recovery key offline (kleidi recovery create), then rotate: kleidi key create --recovery PUB=SHA256',
  );
}

function bundleFindings(folder: string, keks: readonly RingKek[], isRoot: boolean): Findings {
  if (keks.length === 0) return undefined;
  if (!isRoot && statIfAllowed(folder) === undefined) return notAsUser(folder);
  const missing = keks.filter(({ fp }) => statIfAllowed(join(folder, `${fp}.json`)) === undefined);
  if (missing.length === 0) return ok(`KEKs with a recovery bundle in ${folder}: ${keks.length}`);
  return missing.map(({ fp }) =>
    warn(
      `the recovery bundle of KEK ${fp} is missing in ${folder}`,
      `copy ${fp}.json from another member, or from a backup`,
    ),
  );
}

/** Without it a lost host key costs the token, though each KEK has a way back. */
function pinFinding({ ring, pkcs11 }: Config, covered: readonly RingKek[]): Findings {
  const isSealed = parseReference(pkcs11.pin).kind === 'credential';
  if (covered.length === 0 || !isSealed || statIfAllowed(pinPartPath(ring)) !== undefined)
    return undefined;
  return warn(
    'the PIN of this host is not wrapped for the recovery key: only the host key opens it',
    'kleidi provision --recovery PUB=SHA256, with the public file of the recovery key and its fingerprint',
  );
}

function statIfAllowed(path: string): ReturnType<typeof statOf> {
  try {
    return statOf(path);
  } catch {
    return undefined;
  }
}
