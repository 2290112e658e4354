// kleidi key import --vault-version: a version of the Transit key becomes a
// staged KEK of the ring. Nothing moves: Vault keeps it, every host names it.

import { type Config, loadConfig } from '../../config.ts';
import { KleidiError, usage } from '../../errors.ts';
import type { Ring } from '../../keyring/ring.ts';
import { readRing, withRingLock, writeRing } from '../../keyring/ringfile.ts';
import { ringIdFrom } from '../../keyring/ringid.ts';
import { requireNotDestroyed, stage } from '../../keyring/transitions.ts';
import { deletionIn, type KeySettings, leakIn } from '../../providers/vault/keysettings.ts';
import type { VaultKek } from '../../providers/vault/versions.ts';
import { print, printJson, warn } from '../../terminal.ts';
import { awaitDaemon, stateIfAny } from '../follow.ts';
import { vaultKey } from './vaultkeks.ts';
import { requireKnown } from './vaultknown.ts';

/** Safe to repeat. @throws KleidiError usage, refused, vault-* */
export async function importVaultVersion(
  configPath: string,
  version: string,
  expected: string | undefined,
  json: boolean,
): Promise<number> {
  if (!/^[1-9][0-9]{0,8}$/.test(version))
    throw usage(`'${version}' is no version: a number from 1`);
  const config = loadConfig(configPath);
  const { settings, keks } = await vaultKey(config);
  const kek = find(config, keks, Number(version), expected);
  const before = await stateIfAny(config);
  const ring = await withRingLock(config.ring, () => stageIn(config, kek, settings));
  const state = ring.keks.find(({ fp }) => fp === kek.fp)?.state ?? 'staged';
  if (json) printJson({ keks: [{ fp: kek.fp, state, version: kek.version }] });
  else print(`KEK ${kek.fp}, version ${kek.version} of the Transit key, is ${state}`);
  await awaitDaemon(config, ring, before, state === 'retired' ? [] : [kek.fp]);
  return 0;
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
      {
        hint: `there are: ${there}; rotate it in Vault first, or lower min_decryption_version`,
      },
    );
  }
  if (kek.refusal !== undefined) throw kek.refusal;
  if (expected === undefined || expected === kek.fp) return kek;
  throw new KleidiError('refused', `version ${version} is KEK ${kek.fp}, not the expected one`, {
    hint: 'this host asks another Vault, mount or key than the one that you compare with',
  });
}

async function stageIn(config: Config, kek: VaultKek, settings: KeySettings): Promise<Ring> {
  const { fp, check } = kek;
  const ring = await readRing(config.ring);
  requireNotDestroyed(ring, fp);
  const known = ring.keks.find((each) => each.fp === fp);
  requireSafe(config, settings, known === undefined);
  if (known?.state !== 'retired') await requireKnown(config, [kek]);
  if (known !== undefined) return ring;
  const created = new Date().toISOString();
  const entry = { fp, check, provider: 'vault', recovery: null, created } as const;
  const next = stage(ring, entry, ring.ringId ?? ringIdFrom(kek));
  await writeRing(config.ring, next);
  return next;
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
