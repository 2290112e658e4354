// kleidi vault policy: what the operator of the Vault server needs.
import { loadConfig } from '../../config.ts';
import { policyOf } from '../../providers/vault/policy.ts';
import { print, printJson } from '../../terminal.ts';
import { jsonOption } from '../option.ts';
import { command } from '../verb.ts';

export const vaultPolicy = command({
  summary: 'the least policy for Vault or OpenBao',
  notes: [
    `Prints the least policy that kleidi needs for the mount and key of the configuration, in
    Vault's language.`,
  ],
  options: {
    json: jsonOption,
  },
  example: 'kleidi vault policy | vault policy write kleidi -',
  async run({ configPath, json }) {
    const { mount, key } = loadConfig(configPath).vault;
    const policy = policyOf(mount, key);
    if (json) printJson({ policy });
    else print(policy.trimEnd());
    return 0;
  },
});
