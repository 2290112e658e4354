// kleidi vault policy: what the operator of the Vault server needs.
import { loadConfig } from '../../config.ts';
import { print, printJson } from '../../terminal.ts';
import { jsonOption } from '../option.ts';
import { command } from '../verb.ts';

export const vaultPolicy = command({
  summary: 'the least policy for Vault or OpenBao',
  notes: [
    `Prints the least policy that kleidi needs for the mount and key of the configuration, in
    Vault's language.`,
  ],
  options: { json: jsonOption },
  example: 'kleidi vault policy | vault policy write kleidi -',
  async run({ configPath, json }) {
    const { mount, key } = loadConfig(configPath).vault;
    const policy = policyOf(mount, key);
    if (json) printJson({ policy });
    else print(policy.trimEnd());
    return 0;
  },
});

/** In Vault's own language, for `vault policy write`. */
export function policyOf(mount: string, key: string): string {
  return `# Seal and open, by an explicit key version.
path "${mount}/encrypt/${key}" { capabilities = ["update"] }
path "${mount}/decrypt/${key}" { capabilities = ["update"] }
# Which versions there are, and the fingerprint of each.
path "${mount}/keys/${key}" { capabilities = ["read"] }
path "${mount}/hmac/${key}/sha2-256" { capabilities = ["update"] }
# Its own token, where the default policy is not attached.
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
`;
}
