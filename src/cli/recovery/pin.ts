// kleidi recovery pin: the PIN of a host whose host key is lost, out of the file in
// which provision has wrapped it. On the offline machine, with node:crypto alone.

import { writeNewFile } from '../../files.ts';
import { unwrapPin } from '../../keyring/pinpart.ts';
import { readTextFile } from '../../readfile.ts';
import { print, printJson } from '../../terminal.ts';
import { jsonOption, one, requiredText } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { openRecovery } from '../prompt/passphrase.ts';
import { passphraseOption } from '../sharedoptions.ts';
import { command } from '../verb.ts';

const optionTable = {
  key: requiredText('FILE', 'the private file of the recovery key'),
  out: requiredText('FILE', 'the PIN, in clear'),
  'passphrase-fd': passphraseOption,
  json: jsonOption,
};

export const recoveryPin = command({
  changes: true,
  summary: 'the PIN of a host that has lost its host key',
  notes: [
    `Opens a host's pin.recovery.json (beside its ring) with the recovery key, and writes the PIN
    to a new file of mode 0600. With it the token of that host opens again where its sealed PIN
    does not: operations, "Lost host key". Delete the file after that.`,
  ],
  options: optionTable,
  positionals: one('FILE'),
  example: 'kleidi recovery pin pin.recovery.json --key recovery.key --out pin.clear',
  run: pin,
});

async function pin(options: Parsed<typeof optionTable>): Promise<number> {
  const [file, out] = [options.given('key'), options.given('out')];
  const [path = ''] = options.positionals;
  const text = await readTextFile(path, path, 'name the pin.recovery.json of the host');
  const key = await openRecovery(file, options.text('passphrase-fd'));
  const opened = unwrapPin(text, path, key);
  await writeNewFile(out, opened, 0o600).finally(() => opened.fill(0));
  if (options.json) printJson({ out });
  else print(`${out}: the PIN in clear; seal it on its host, then delete this file`);
  return 0;
}
