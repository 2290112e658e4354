// What Vault holds for this host, as commands ask for it: a login, a look, no more.
import type { Config } from '../config.ts';
import { readSecret } from '../host/credentials.ts';
import { openVault } from '../providers/open.ts';
import type { Fingerprint } from '../providers/provider.ts';

export interface VaultKek {
  readonly fp: Fingerprint;
  /** Of the Transit key. */
  readonly version: number;
}

/** @throws KleidiError provider-missing, config-invalid, vault-* */
export async function vaultKeks(config: Config): Promise<readonly VaultKek[]> {
  const vault = await openVault(config, (reference) => readSecret(reference, process.env));
  try {
    return vault.keks();
  } finally {
    await vault.close();
  }
}
