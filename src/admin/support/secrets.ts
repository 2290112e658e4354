// The secrets of this host that a text could have by mistake: PINs, logins of Vault, keys
// in the EncryptionConfiguration, the administrator's kubeconfig. They are read to be taken
// out of a support bundle; what cannot be read cannot be in it by way of this program.
import { findInstallations } from '../../apiserver/installation.ts';
import type { Config } from '../../config.ts';
import { readSecret } from '../../host/credentials.ts';
import { readOwnFile } from '../../readfile.ts';

export async function secretsOfHost(
  config: Config | undefined,
  kubeconfig: string | undefined,
): Promise<readonly string[]> {
  const references = config === undefined ? [] : referencesOf(config);
  const files = [
    ...(config === undefined ? [] : [config.encryptionConfig]),
    ...(kubeconfig === undefined ? [] : [kubeconfig]),
    ...installed(),
  ];
  const held = await Promise.all([
    ...references.map((reference) => readSecret(reference, {}).then(lines, none)),
    ...files.map((path) => readOwnFile(path).then(secretFields, none)),
  ]);
  return held.flat();
}

function referencesOf({ pkcs11, vault }: Config): string[] {
  const { secretId, key, token } = vault.auth;
  return [pkcs11.pin, pkcs11.soPin, secretId, key, token];
}

function installed(): string[] {
  return findInstallations('/').flatMap(({ distribution: { kubeconfig, ownKeys } }) => [
    kubeconfig,
    ...(ownKeys === undefined ? [] : [ownKeys.path]),
  ]);
}

/** A key of many lines may be quoted by one of them. */
function lines(secret: string): string[] {
  return [secret, ...secret.split('\n').filter((line) => line.length >= 32)];
}

/** Of YAML or JSON; base64 as it stands, and what it stands for. */
function secretFields(text: string): string[] {
  const field = /["']?(?:secret|token|client-key-data|password)["']?\s*:\s*["']?([^\s"',}]+)/g;
  return [...text.matchAll(field)].flatMap(([, value = '']) => [
    value,
    ...lines(Buffer.from(value, 'base64').toString()),
  ]);
}

function none(): string[] {
  return [];
}
