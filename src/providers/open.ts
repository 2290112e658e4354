// From configuration to a provider. The PKCS#11 binding and the HTTP client are
// loaded only here, and only by what needs them.
import type { Config } from '../config.ts';
import { KleidiError } from '../errors.ts';
import type { ProviderCounts } from './counts.ts';
import type { Pkcs11Hooks } from './pkcs11/pkcs11.ts';
import type { Pkcs11Settings } from './pkcs11/settings.ts';
import type { ModuleThreads } from './pkcs11/thread.ts';
import type { Provider } from './provider.ts';
import type { VaultProvider } from './vault/vault.ts';

export function pkcs11Settings(config: Config): Pkcs11Settings {
  const { module, token, softhsmConf } = config.pkcs11;
  const { runtimeDir } = config;
  const { callTimeoutMs, openTimeoutMs } = config.limits;
  return { module, token, softhsmConf, runtimeDir, callTimeoutMs, openTimeoutMs };
}

/** @throws KleidiError module-*, token-*, pin-refused */
export async function openProvider(
  config: Config,
  pin: string,
  hooks: Pkcs11Hooks,
  threads: ModuleThreads,
): Promise<Provider> {
  const { Pkcs11Provider } = await import('./pkcs11/pkcs11.ts');
  return Pkcs11Provider.open(pkcs11Settings(config), pin, hooks, threads);
}

/**
 * @param secret reads `credential:NAME` or `file:/PATH`
 * @throws KleidiError provider-missing, config-invalid, vault-*
 */
export async function openVault(
  config: Config,
  secret: (reference: string) => Promise<string>,
  counts?: ProviderCounts,
): Promise<VaultProvider> {
  if (config.vault.address.length === 0) {
    throw new KleidiError(
      'provider-missing',
      'a KEK is kept in Vault, and vault.address is not set',
      { hint: 'set vault.address in kleidi.yaml as on the other hosts' },
    );
  }
  const [{ VaultProvider }, { vaultSettings }] = await Promise.all([
    import('./vault/vault.ts'),
    import('./vault/configured.ts'),
  ]);
  return VaultProvider.open(vaultSettings(config, secret), counts);
}
