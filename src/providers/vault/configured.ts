// What the vault provider must know, from the `vault` section of the configuration. Files
// are read here. Secrets are functions: they are read again at each login, so that one that
// was replaced is taken up without a restart.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Config, VaultConfig } from '../../config.ts';
import { KleidiError, reasonOf } from '../../errors.ts';
import { type KnownTexts, knownTextsPath, readKnownTexts } from './knowntexts.ts';

export interface VaultSettings extends Pick<VaultConfig, 'namespace' | 'mount' | 'key'> {
  /** https://host:port, tried in this order. */
  readonly addresses: readonly string[];
  /** PEM of the CA that signs the server's certificate; undefined for the system's. */
  readonly ca: string | undefined;
  readonly auth: VaultAuth;
  readonly callTimeoutMs: number;
  /** A shared server should not bear a test as often as a token of one's own. */
  readonly testEveryMs: number;
  /** Read at each load. @throws KleidiError where the file is damaged */
  readonly knownTexts: () => Promise<KnownTexts>;
}

type Secret = () => Promise<string>;

export type VaultAuth =
  | {
      readonly method: 'approle';
      readonly mount: string;
      readonly roleId: string;
      readonly secretId: Secret;
    }
  | {
      readonly method: 'cert';
      readonly mount: string;
      readonly role: string;
      readonly certificate: string;
      readonly key: Secret;
    }
  | {
      readonly method: 'jwt';
      readonly mount: string;
      readonly role: string;
      readonly jwt: Secret;
    }
  | { readonly method: 'token'; readonly token: Secret };

/**
 * @param secret reads `credential:NAME` or `file:/PATH`
 * @throws KleidiError config-invalid where a field is missing or a file cannot be read
 */
export function vaultSettings(
  { ring, vault, limits, selfTest }: Config,
  secret: (reference: string) => Promise<string>,
): VaultSettings {
  const { address, namespace, mount, key, caFile } = vault;
  const ca = caFile === '' ? undefined : readPem('vault.caFile', caFile);
  const auth = authOf(vault, secret);
  return {
    ...{ addresses: address, namespace, mount, key, ca, auth },
    callTimeoutMs: limits.callTimeoutMs,
    testEveryMs: selfTest.intervalMs * 3,
    knownTexts: () => readKnownTexts(knownTextsPath(ring)),
  };
}

function authOf({ auth }: VaultConfig, secret: (reference: string) => Promise<string>): VaultAuth {
  const { method, role, roleId } = auth;
  const mount = auth.mount === '' ? method : auth.mount;
  switch (method) {
    case 'approle':
      return {
        method,
        mount,
        roleId: needed('vault.auth.roleId', roleId),
        secretId: () => secret(auth.secretId),
      };
    case 'cert':
      return {
        method,
        mount,
        role,
        certificate: readPem('vault.auth.certFile', needed('vault.auth.certFile', auth.certFile)),
        key: () => secret(auth.key),
      };
    case 'jwt': {
      const path = needed('vault.auth.jwtFile', auth.jwtFile);
      return { method, mount, role, jwt: () => readJwt(path) };
    }
    case 'token':
      return { method, token: () => secret(auth.token) };
  }
}

function needed(field: string, value: string): string {
  if (value !== '') return value;
  throw new KleidiError('config-invalid', `${field} is missing, and vault.auth.method needs it`, {
    hint: 'set it in kleidi.yaml, then run: kleidi config check',
  });
}

function readPem(field: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new KleidiError(
      'config-invalid',
      `${field}: ${path} cannot be read: ${reasonOf(cause)}`,
      { hint: 'check the path, and that user kleidi may read it', cause },
    );
  }
}

/** Whoever issues it replaces the file, so it is read at each login. */
async function readJwt(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new KleidiError('pin-missing', `JWT ${path} cannot be read: ${reasonOf(cause)}`, {
      hint: 'check vault.auth.jwtFile, and that what issues the JWT runs on this host',
      cause,
    });
  });
  return text.trim();
}
