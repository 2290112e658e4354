// What the vault provider must know. Secrets are functions: they are read again
// at each login, so that one that was replaced is taken up without a restart.

import type { KnownTexts } from './knowntexts.ts';

export interface VaultSettings {
  /** https://host:port, tried in this order. */
  readonly addresses: readonly string[];
  /** Enterprise and OpenBao namespaces; '' for none. */
  readonly namespace: string;
  /** Where the Transit engine is mounted. */
  readonly mount: string;
  /** Name of the Transit key. */
  readonly key: string;
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
