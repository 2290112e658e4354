// provision.json beside the ring: what `kleidi provision` has begun on this
// machine, and whether it came to its end. With it, a killed run can go on; and
// a lost part is told from one that never was.
import { existsSync } from 'node:fs';
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { isErrno, writeFileAtomically } from '../../files.ts';
import { provisionRecordPath } from '../../host/machine.ts';
import { firstOwner } from '../../keyring/ringfile.ts';
import { readOwnFile } from '../../readfile.ts';
import { isSoftHsm, softHsmTokenExists } from '../../softhsm.ts';
import { secretExists } from './pins.ts';
import type { Replacement } from './replacement.ts';

export interface ProvisionRecord {
  readonly format: 1;
  readonly ring: string;
  readonly token: string;
  /** Hash of the machine id, so that a cloned disk is noticed. */
  readonly machine: string;
  readonly tokenOnly: boolean;
  readonly done: boolean;
  /** The last one; those before are in its folder. */
  readonly replaced?: Replacement;
}

/** What there is already. `token` is undefined where only the module can tell. */
export interface Existing {
  readonly ring: boolean;
  readonly pins: boolean;
  readonly token: boolean | undefined;
}

export interface Found extends Existing {
  /** The ring has no KEK yet: its name may change, and a first KEK may come. */
  readonly isBlank: boolean;
  /** Each a clause: what says that an API server of this host uses kleidi. */
  readonly inUse: readonly string[];
}

export async function readRecord(config: Config): Promise<ProvisionRecord | undefined> {
  const path = provisionRecordPath(config.ring);
  try {
    return JSON.parse(await readOwnFile(path)) as ProvisionRecord;
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return undefined;
    throw new KleidiError(
      'refused',
      `${path} cannot be read, so it is not known what was made here`,
      {
        hint: 'restore the file, or move it away where ring, token and PINs are all in place',
        cause,
      },
    );
  }
}

export async function writeRecord(config: Config, record: ProvisionRecord): Promise<void> {
  const path = provisionRecordPath(config.ring);
  // The daemon's group reads it, as it reads the ring.
  const owner = await firstOwner(path);
  await writeFileAtomically(path, `${JSON.stringify(record, null, 2)}\n`, 0o640, owner);
}

export function findExisting(config: Config): Existing {
  return {
    ring: existsSync(config.ring),
    pins: secretExists(config.pkcs11.pin) || secretExists(config.pkcs11.soPin),
    token: tokenExists(config),
  };
}

function tokenExists(config: Config): boolean | undefined {
  const { module, softhsmConf } = config.pkcs11;
  return isSoftHsm(module) ? softHsmTokenExists(softhsmConf) : undefined;
}
