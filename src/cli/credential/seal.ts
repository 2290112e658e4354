// kleidi credential seal: keeps a secret that opens on this machine alone.
import { buffer } from 'node:stream/consumers';
import { sealGiven } from '../../admin/pin/sealgiven.ts';
import { loadConfig } from '../../config.ts';
import { usage } from '../../errors.ts';
import { print, printJson } from '../../terminal.ts';
import { bindingWords } from '../bindingwords.ts';
import { jsonOption, one } from '../option.ts';
import { askSecret, isAnswerable } from '../prompt/ask.ts';
import { command } from '../verb.ts';

export const credentialSeal = command({
  changes: true,
  summary: 'keeps a secret that opens on this machine alone',
  notes: [
    `Takes the secret from a pipe, without the line break at its end, or asks for it, and writes
    /etc/kleidi/credentials/NAME.cred. NAME is that of credential:NAME in the configuration:
    vault-secret-id, vault-key or vault-token. It is bound to disk and TPM as pkcs11.pinBinding and
    pkcs11.pinPcrs say, and opened before it takes the place of an old one. PINs are refused:
    kleidi pin set tries them against the token.`,
    `The daemon has it from its next start on: systemctl restart kleidi.`,
  ],
  options: { json: jsonOption },
  positionals: one('NAME'),
  example: 'kleidi credential seal vault-secret-id < secret-id',
  async run({ positionals, configPath, json }) {
    const [name = ''] = positionals;
    const config = loadConfig(configPath);
    const secret = await givenSecret(name);
    const { path, binding } = await sealGiven(config, name, secret);
    if (json) printJson({ path, binding: binding ?? null });
    else print(`${path}: sealed to ${bindingWords(binding)}`);
    return 0;
  },
});

async function givenSecret(name: string): Promise<string> {
  const isTyped = process.stdin.isTTY === true;
  if (isTyped && !isAnswerable()) throw usage('there is no pipe with the secret');
  const bytes = await (isTyped ? askSecret(`${name}: `) : buffer(process.stdin));
  const secret = bytes.toString('utf8').replace(/\r?\n$/, '');
  bytes.fill(0);
  return secret;
}
