// From configuration to a provider. The PKCS#11 binding and the HTTP client are
// loaded only here, and only by what needs them.
import type { Config } from '../config.ts';
import { KleidiError } from '../errors.ts';
import type { ProviderCounts } from './counts.ts';
import type { Pkcs11Hooks } from './pkcs11/pkcs11.ts';
import type { Pkcs11Settings } from './pkcs11/settings.ts';
import type { ModuleThreads } from './pkcs11/thread.ts';
import type { Provider, TokenKind } from './provider.ts';
import type { VaultProvider } from './vault/vault.ts';

function pkcs11Settings(config: Config): Pkcs11Settings {
  const { module, token, softhsmConf } = config.pkcs11;
  const { runtimeDir } = config;
  const { callTimeoutMs, openTimeoutMs } = config.limits;
  return { module, token, softhsmConf, runtimeDir, callTimeoutMs, openTimeoutMs };
}

function tpmSettings(config: Config): Pkcs11Settings {
  const { module, token, store, tcti } = config.tpm;
  return { ...pkcs11Settings(config), softhsmConf: '', module, token, tpm: { store, tcti } };
}

/** As root has it: the store of a TPM itself. */
export function tokenSettings(config: Config, kind: TokenKind): Pkcs11Settings {
  return kind === 'tpm' ? tpmSettings(config) : pkcs11Settings(config);
}

/** As the daemon and its children have it: a copy of that store. @throws KleidiError token-missing, file-failed */
export async function daemonSettings(config: Config, kind: TokenKind): Promise<Pkcs11Settings> {
  const settings = tokenSettings(config, kind);
  if (kind === 'pkcs11') return settings;
  const { withCopiedStore } = await import('./pkcs11/tpmstore.ts');
  return withCopiedStore(settings);
}

/** Where the PIN of that token is: `credential:NAME` or `file:/PATH`. */
export function pinReference(config: Config, kind: TokenKind): string {
  return kind === 'tpm' ? config.tpm.pin : config.pkcs11.pin;
}

/** @throws KleidiError module-*, token-*, pin-refused */
export async function openProvider(
  settings: Pkcs11Settings,
  pin: string,
  hooks: Pkcs11Hooks,
  threads: ModuleThreads,
): Promise<Provider> {
  const { Pkcs11Provider } = await import('./pkcs11/pkcs11.ts');
  return Pkcs11Provider.open(settings, pin, hooks, threads);
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
