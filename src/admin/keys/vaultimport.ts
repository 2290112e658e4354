// kleidi key import --vault-version: a version of the Transit key becomes a
// staged KEK of the ring. Nothing moves: Vault keeps it, every host names it.

import type { Config } from '../../config.ts';
import { KleidiError, usage } from '../../errors.ts';
import type { Ring } from '../../keyring/ring.ts';
import { readRing } from '../../keyring/ringfile.ts';
import { requireNotDestroyed } from '../../keyring/transitions.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { deletionIn, type KeySettings, leakIn } from '../../providers/vault/keysettings.ts';
import type { VaultKek } from '../../providers/vault/versions.ts';
import { warn } from '../../terminal.ts';
import { enterStaged } from './enter.ts';
import { requireKnown, vaultKey } from './vaultknown.ts';

/** @throws KleidiError usage */
export function parseVersion(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw usage(`'${text}' is no version: a number from 1`);
}

interface FoundVersion {
  readonly kek: VaultKek;
  readonly settings: KeySettings;
}

/**
 * @param expected the fingerprint that this version must have, if one is named
 * @throws KleidiError refused, vault-*
 */
export async function findVersion(
  config: Config,
  version: number,
  expected: Fingerprint | undefined,
): Promise<FoundVersion> {
  const { settings, keks } = await vaultKey(config);
  return { kek: find(config, keks, version, expected), settings };
}

/**
 * Call it under the ring's lock. Safe to repeat.
 * @returns the ring that has the KEK
 * @throws KleidiError refused, vault-*
 */
export async function stageVersion(config: Config, found: FoundVersion): Promise<Ring> {
  const { kek, settings } = found;
  const { fp } = kek;
  const ring = await readRing(config.ring);
  requireNotDestroyed(ring, fp);
  const known = ring.keks.find((each) => each.fp === fp);
  requireSafe(config, settings, known === undefined);
  if (known?.state !== 'retired') await requireKnown(config, [kek]);
  if (known !== undefined) return ring;
  return enterStaged(config, ring, kek, 'vault');
}

function find(
  config: Config,
  keks: readonly VaultKek[],
  version: number,
  expected: string | undefined,
): VaultKek {
  const kek = keks.find((each) => each.version === version);
  if (kek === undefined) {
    const there = keks.map((each) => each.version).join(', ');
    throw new KleidiError(
      'refused',
      `Transit key '${config.vault.key}' has no usable version ${version}`,
      { hint: `there are: ${there}; rotate it in Vault first, or lower min_decryption_version` },
    );
  }
  if (kek.refusal !== undefined) throw kek.refusal;
  if (expected === undefined || expected === kek.fp) return kek;
  throw new KleidiError('refused', `version ${version} is KEK ${kek.fp}, not the expected one`, {
    hint: 'this host asks another Vault, mount or key than the one that you compare with',
  });
}

/** A KEK that is in the ring already is not put out of use by this: doctor says it too. */
function requireSafe({ vault }: Config, settings: KeySettings, isNew: boolean): void {
  const { mount, key } = vault;
  const leak = leakIn(key, settings);
  if (leak !== undefined) {
    const { what, todo } = leak;
    if (isNew) throw new KleidiError('refused', `${what}; the ring is not changed`, { hint: todo });
    warn(what);
  }
  const deletion = deletionIn(mount, key, settings);
  if (deletion !== undefined) warn(`${deletion.what} (${deletion.todo})`);
}
