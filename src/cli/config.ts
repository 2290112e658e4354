// kleidi config check | print | fields: the configuration, validated, in
// effect, and explained.

import { stringify } from 'yaml';
import { type Config, describeFields, loadConfig } from '../config.ts';
import { usage } from '../errors.ts';
import { print, printJson, table } from '../terminal.ts';
import { parse, type Verb } from './verb.ts';

export const config: Verb = {
  help: `usage: kleidi config check [--config FILE]
       kleidi config print [--config FILE] [--json]
       kleidi config fields [--json]

check    exit 0 where the file is valid, 78 with every fault where it is not.
print    what is in effect, defaults included, places of secrets masked.
fields   every field with its meaning and default.

example: kleidi config check --config ./kleidi.yaml`,

  async run(args) {
    const [action, ...rest] = args;
    const { configPath, json } = parse(rest, {});
    switch (action) {
      case 'check':
        loadConfig(configPath);
        print(`${configPath} is valid`);
        return 0;
      case 'print': {
        const masked = maskSecrets(loadConfig(configPath));
        if (json) printJson(masked);
        else print(stringify(masked).trimEnd());
        return 0;
      }
      case 'fields':
        if (json) printJson(describeFields());
        else print(fieldTable());
        return 0;
      default:
        throw usage(
          action === undefined ? 'check, print or fields?' : `unknown action '${action}'`,
        );
    }
  },
};

/** The reference names a place, not a secret; even so only its kind is shown. */
function maskSecrets(shown: Config): Config {
  const mask = (reference: string): string => reference.replace(/:.*/, ':***');
  const { pin, soPin } = shown.pkcs11;
  const { auth } = shown.vault;
  const { secretId, key, token } = auth;
  const masked = { secretId: mask(secretId), key: mask(key), token: mask(token) };
  return {
    ...shown,
    pkcs11: { ...shown.pkcs11, pin: mask(pin), soPin: mask(soPin) },
    vault: { ...shown.vault, auth: { ...auth, ...masked } },
  };
}

function fieldTable(): string {
  return table(
    describeFields().map((field) => [field.name, JSON.stringify(field.default), field.doc]),
  );
}
