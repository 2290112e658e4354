// What Vault holds for this host, as commands ask for it: a login, a look, no more.
import type { Config } from '../../config.ts';
import { readSecret } from '../../host/credentials.ts';
import { openVault } from '../../providers/open.ts';
import type { KeySettings } from '../../providers/vault/keysettings.ts';
import type { VaultProvider } from '../../providers/vault/vault.ts';
import type { VaultKek } from '../../providers/vault/versions.ts';

/** @throws KleidiError provider-missing, config-invalid, vault-* */
export async function withVault<T>(
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
export async function lookAt(vault: VaultProvider): Promise<readonly VaultKek[]> {
  await vault.load(vault.keks().map(({ fp }) => fp));
  return vault.keks().map((kek) => ({
    ...kek,
    refusal: vault.refusals.get(kek.fp),
    hasKnownText: vault.hasKnownText(kek.fp),
  }));
}
