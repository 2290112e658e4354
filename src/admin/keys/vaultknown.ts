// What Vault holds for this host, as commands ask for it: a login, a look, no more; and the
// text by which this host knows a KEK there again: sealed where the KEK comes into use here,
// opened at each load. One that is there is never replaced.
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { writeFileAtomically } from '../../files.ts';
import { readSecret } from '../../host/credentials.ts';
import { firstOwner } from '../../keyring/ringfile.ts';
import { missingKeks } from '../../providers/kekidentity.ts';
import { openVault } from '../../providers/open.ts';
import type { Fingerprint, KekIdentity } from '../../providers/provider.ts';
import type { KeySettings } from '../../providers/vault/keysettings.ts';
import {
  formatKnownTexts,
  knownTextsPath,
  readKnownTexts,
} from '../../providers/vault/knowntexts.ts';
import type { VaultProvider } from '../../providers/vault/vault.ts';
import type { VaultKek } from '../../providers/vault/versions.ts';

/** @throws KleidiError provider-missing, config-invalid, vault-* */
async function withVault<T>(
  config: Config,
  work: (vault: VaultProvider) => Promise<T>,
): Promise<T> {
  const vault = await openVault(config, (reference) => readSecret(reference, process.env));
  try {
    return await work(vault);
  } finally {
    await vault.close();
  }
}

interface VaultKey {
  readonly settings: KeySettings;
  readonly keks: readonly VaultKek[];
}

/** @throws KleidiError provider-missing, config-invalid, vault-* */
export function vaultKey(config: Config): Promise<VaultKey> {
  return withVault(config, async (vault) => {
    const keks = await lookAt(vault);
    return { settings: vault.keySettings(), keks };
  });
}

/** Each version, and whether it is proven to be the KEK whose fingerprint it has. */
async function lookAt(vault: VaultProvider): Promise<readonly VaultKek[]> {
  await vault.load(vault.keks().map(({ fp }) => fp));
  return vault.keks().map((kek) => ({
    ...kek,
    refusal: vault.refusals.get(kek.fp),
    hasKnownText: vault.hasKnownText(kek.fp),
  }));
}

/**
 * Vault holds each of these KEKs, it is the key that it was, and this host knows it again.
 * Call it under the ring's lock.
 * @returns those for which a text was sealed now
 * @throws KleidiError kek-missing, vault-key-swapped, vault-known-invalid, vault-*
 */
export function requireKnown(
  config: Config,
  wanted: readonly KekIdentity[],
): Promise<readonly Fingerprint[]> {
  return withVault(config, async (vault) => {
    const keks = await lookAt(vault);
    requireAll(wanted, keks);
    const fps = wanted.map(({ fp }) => fp);
    const refused = keks.find(({ fp, refusal }) => fps.includes(fp) && refusal !== undefined);
    if (refused?.refusal !== undefined) throw refused.refusal;
    return record(config, vault, fps);
  });
}

function requireAll(wanted: readonly KekIdentity[], held: readonly KekIdentity[]): void {
  const missing = missingKeks(wanted, held).map(({ fp }) => fp);
  if (missing.length === 0) return;
  const text = `Vault has no usable version for KEK ${missing.join(', ')}`;
  throw new KleidiError('kek-missing', `${text}; nothing was changed`, {
    hint: 'this host asks another Vault, mount or key than the others, or min_decryption_version is too high',
  });
}

async function record(
  config: Config,
  vault: VaultProvider,
  fps: readonly Fingerprint[],
): Promise<readonly Fingerprint[]> {
  const path = knownTextsPath(config.ring);
  const texts = new Map(await readKnownTexts(path));
  const missing = [...new Set(fps)].filter((fp) => !texts.has(fp));
  if (missing.length === 0) return [];
  for (const fp of missing) texts.set(fp, await vault.sealKnownText(fp));
  await writeFileAtomically(path, formatKnownTexts(texts), 0o640, await firstOwner(path));
  return missing;
}
