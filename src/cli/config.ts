// kleidi config check | print | fields: the configuration, validated, in
// effect, and explained.

import { stringify } from 'yaml';
import { type Config, describeFields, loadConfig } from '../config.ts';
import { print, printJson, table } from '../terminal.ts';
import { configOption, jsonOption } from './option.ts';
import { command, commandGroup } from './verb.ts';

const check = command({
  summary: 'exit 0 where the file is valid, 78 with every fault where it is not',
  notes: [
    'Reads the configuration as every verb does. Exit code 78 and every fault where it is not valid.',
  ],
  options: { config: configOption },
  example: 'kleidi config check --config ./kleidi.yaml',
  async run({ configPath }) {
    loadConfig(configPath);
    print(`${configPath} is valid`);
    return 0;
  },
});

const inEffect = command({
  summary: 'what is in effect, defaults included, places of secrets masked',
  notes: ['What is in effect, defaults included, places of secrets masked.'],
  options: { config: configOption, json: jsonOption },
  example: 'kleidi config print --json',
  async run({ configPath, json }) {
    const masked = maskSecrets(loadConfig(configPath));
    if (json) printJson(masked);
    else print(stringify(masked).trimEnd());
    return 0;
  },
});

const fields = command({
  summary: 'every field with its meaning and default',
  notes: ['Every field of the configuration with its meaning and default.'],
  options: { json: jsonOption },
  example: 'kleidi config fields',
  async run({ json }) {
    if (json) printJson(describeFields());
    else print(fieldTable());
    return 0;
  },
});

export const config = commandGroup({
  summary: 'the configuration: check, print, fields',
  actions: {
    check: async () => check,
    print: async () => inEffect,
    fields: async () => fields,
  },
  example: 'kleidi config check --config ./kleidi.yaml',
});

/** The reference names a place, not a secret; even so only its kind is shown. */
function maskSecrets(shown: Config): Config {
  const mask = (reference: string): string => reference.replace(/:.*/, ':***');
  const { pin, soPin } = shown.pkcs11;
  const { auth } = shown.vault;
  const { secretId, key, token } = auth;
  const masked = { secretId: mask(secretId), key: mask(key), token: mask(token) };
  const tpm = { ...shown.tpm, pin: mask(shown.tpm.pin) };
  return {
    ...shown,
    pkcs11: { ...shown.pkcs11, pin: mask(pin), soPin: mask(soPin) },
    vault: { ...shown.vault, auth: { ...auth, ...masked } },
    tpm,
  };
}

function fieldTable(): string {
  return table(
    describeFields().map((field) => [field.name, JSON.stringify(field.default), field.doc]),
  );
}
