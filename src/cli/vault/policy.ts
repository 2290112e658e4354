// kleidi vault policy: what the operator of the Vault server needs.
import { loadConfig } from '../../config.ts';
import { policyOf } from '../../providers/vault/policy.ts';
import { print, printJson } from '../../terminal.ts';
import { parse, type Verb } from '../verb.ts';

export const vaultPolicy: Verb = {
  help: `usage: kleidi vault policy [--json]

Prints the least policy that kleidi needs for the mount and key of the
configuration, in Vault's language.

example: kleidi vault policy | vault policy write kleidi -`,

  async run(args) {
    const { configPath, json } = parse(args, {});
    const { mount, key } = loadConfig(configPath).vault;
    const policy = policyOf(mount, key);
    if (json) printJson({ policy });
    else print(policy.trimEnd());
    return 0;
  },
};
