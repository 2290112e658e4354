// From configuration to a provider. The PKCS#11 binding is loaded only here,
// and only by what needs a token.
import type { Config } from '../config.ts';
import type { Pkcs11Hooks, Pkcs11Settings } from './pkcs11/pkcs11.ts';
import type { Provider } from './provider.ts';

export function pkcs11Settings(config: Config): Pkcs11Settings {
  const { module, token, softhsmConf } = config.pkcs11;
  const { runtimeDir } = config;
  return { module, token, softhsmConf, runtimeDir, callTimeoutMs: config.limits.callTimeoutMs };
}

/** @throws KleidiError module-*, token-*, pin-refused */
export async function openProvider(
  config: Config,
  pin: string,
  hooks: Pkcs11Hooks,
): Promise<Provider> {
  const { Pkcs11Provider } = await import('./pkcs11/pkcs11.ts');
  return Pkcs11Provider.open(pkcs11Settings(config), pin, hooks);
}
