// What Vault holds for this host, as commands ask for it: a login, a look, no more.
import type { Config } from '../config.ts';
import type { KleidiError } from '../errors.ts';
import { readSecret } from '../host/credentials.ts';
import { openVault } from '../providers/open.ts';
import type { Fingerprint } from '../providers/provider.ts';
import type { KeySettings } from '../providers/vault/keysettings.ts';
import type { VaultProvider } from '../providers/vault/vault.ts';

export interface VaultKek {
  readonly fp: Fingerprint;
  /** Of the Transit key. */
  readonly version: number;
  /** Why it is not used, although it is there. */
  readonly refusal: KleidiError | undefined;
  /** Whether this host would notice another key in its place. */
  readonly hasKnownText: boolean;
}

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

export interface VaultKey {
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
  return vault.keks().map(({ fp, version }) => ({
    fp,
    version,
    refusal: vault.refusals.get(fp),
    hasKnownText: vault.hasKnownText(fp),
  }));
}
