// What must be right before a PIN is changed: the host keeps KEKs in a token, and the copy of
// the PIN for the recovery key can be made anew.
import { existsSync } from 'node:fs';
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { usesToken } from '../../host/tokenuse.ts';
import { pinPartPath } from '../../keyring/pinpart.ts';
import {
  type RecoveryKey,
  readRecoveryKey,
  requirePinned,
} from '../../keyring/recoverypublickey.ts';
import { readRingIfAny } from '../../keyring/ringfile.ts';
import { readChoices } from '../provision/choices.ts';

const choicesPath = '/etc/kleidi/install.conf';

/** @throws KleidiError refused: all KEKs of this host are in Vault */
export async function requireTokenInUse(config: Config): Promise<void> {
  const ring = await readRingIfAny(config.ring);
  if (usesToken(config, ring)) return;
  throw new KleidiError('refused', 'this host keeps its KEKs in Vault, and uses no token', {
    hint: 'how it logs in to Vault: vault.auth in kleidi.yaml; after a change there: systemctl restart kleidi',
  });
}

/**
 * The key that the PIN is to be wrapped for; undefined where it is wrapped for none.
 * @param named of --recovery
 * @throws KleidiError refused, file-failed, config-invalid; nothing is changed
 */
export async function recoveryForPin(
  config: Config,
  named: string | undefined,
): Promise<RecoveryKey | undefined> {
  const path = pinPartPath(config.ring);
  if (named === undefined && !existsSync(path)) return undefined;
  const key = named === undefined ? await chosenKey() : await readRecoveryKey(named);
  if (key === undefined) {
    throw new KleidiError(
      'refused',
      `${path} has the old PIN for the recovery key, and no recovery key is named for the new one; nothing was changed`,
      { hint: 'kleidi pin set --recovery PUB=SHA256, with the public file of the recovery key' },
    );
  }
  const ring = await readRingIfAny(config.ring);
  if (ring !== undefined) requirePinned(ring, key.fingerprint);
  return key;
}

async function chosenKey(): Promise<RecoveryKey | undefined> {
  const choices = await readChoices(choicesPath);
  return choices.role === 'master' ? choices.recovery : undefined;
}
