// kleidi recovery pin: the PIN of a host whose host key is lost, out of the file in
// which provision has wrapped it. On the offline machine, with node:crypto alone.

import { usage } from '../../errors.ts';
import { writeNewFile } from '../../files.ts';
import { unwrapPin } from '../../keyring/pinpart.ts';
import { readTextFile } from '../../readfile.ts';
import { print, printJson } from '../../terminal.ts';
import { openRecovery } from '../prompt/recoverykey.ts';
import { parse, type Verb } from '../verb.ts';

export const recoveryPin: Verb = {
  help: `usage: kleidi recovery pin FILE --key FILE --out FILE [--passphrase-fd N] [--json]

Opens a host's pin.recovery.json (beside its ring) with the recovery key, and writes
the PIN to a new file of mode 0600. With it the token of that host opens again where
its sealed PIN does not: operations, "Lost host key". Delete the file after that.

  --key FILE          the private file of the recovery key
  --out FILE          the PIN, in clear
  --passphrase-fd N   read the passphrase from file descriptor N

example: kleidi recovery pin pin.recovery.json --key recovery.key --out pin.clear`,
  run: pin,
};

async function pin(args: readonly string[]): Promise<number> {
  const named = { key: 'text', out: 'text', 'passphrase-fd': 'text' } as const;
  const options = parse(args, named, { least: 1, most: 1 });
  const [file, out] = [options.text('key'), options.text('out')];
  const [path = ''] = options.positionals;
  if (file === undefined || out === undefined) throw usage('--key and --out are needed');
  const text = await readTextFile(path, path, 'name the pin.recovery.json of the host');
  const key = await openRecovery(file, options.text('passphrase-fd'));
  const opened = unwrapPin(text, path, key);
  await writeNewFile(out, opened, 0o600).finally(() => opened.fill(0));
  if (options.json) printJson({ out });
  else print(`${out}: the PIN in clear; seal it on its host, then delete this file`);
  return 0;
}
