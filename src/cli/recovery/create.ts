// kleidi recovery create: the recovery key, made on a machine that is offline.
import { basename } from 'node:path';
import { requireFree, writeNewFile } from '../../files.ts';
import { makeRecoveryKey } from '../../keyring/recoverykey.ts';
import { formatRecoveryKey } from '../../keyring/recoverypublickey.ts';
import { note, print, printJson } from '../../terminal.ts';
import { atMostOne, flag, jsonOption, text } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { newPassphrase } from '../prompt/passphrase.ts';
import { command } from '../verb.ts';

const optionTable = {
  out: text('NAME', 'default: recovery, in this folder'),
  'generate-passphrase': flag(
    `six random words, shown once on the terminal and asked for from the paper`,
  ),
  'passphrase-fd': text(
    'N',
    `read the passphrase from file descriptor N; without, it is asked for on the terminal,
      twice; Enter has one made`,
  ),
  json: jsonOption,
};

export const recoveryCreate = command({
  changes: true,
  summary: 'the recovery key: a private file that stays offline, and a public one',
  notes: [
    `Makes the recovery key, RSA-4096 and ML-KEM-1024, of which both are needed to open what is
    wrapped for it: NAME.key, the private halves under a passphrase, which stays offline; and
    NAME.pub, which key create and provision take. Prints the fingerprint: write it on paper,
    and keep that with the passphrase.`,
  ],
  options: optionTable,
  groups: [atMostOne('generate-passphrase', 'passphrase-fd')],
  example: 'kleidi recovery create --out recovery',
  run: create,
});

const otherName =
  'choose another name by --out; never throw an old recovery key away while a backup needs it';

async function create(options: Parsed<typeof optionTable>): Promise<number> {
  const name = options.text('out') ?? 'recovery';
  const paths = { privateKey: `${name}.key`, publicKey: `${name}.pub` };
  for (const path of Object.values(paths)) requireFree(path, otherName);
  const passphrase = await newPassphrase({
    fd: options.text('passphrase-fd'),
    isGenerated: options.flag('generate-passphrase'),
  });
  let fingerprint = '';
  try {
    const key = await makeRecoveryKey(passphrase);
    await writeNewFile(paths.privateKey, key.file, 0o600);
    await writeNewFile(paths.publicKey, formatRecoveryKey(key), 0o644);
    fingerprint = key.fingerprint;
    if (options.json) printJson({ sha256: key.fingerprint, ...paths });
    else print(`sha256:${key.fingerprint}`);
  } finally {
    passphrase.fill(0);
  }
  note(`${paths.privateKey} stays offline, in two places; ${paths.publicKey} goes to the hosts`);
  note('write the fingerprint on paper: it is how the hosts know the right key');
  if (!options.json) {
    const pub = basename(paths.publicKey);
    note(
      `in /etc/kleidi/install.conf of each host: RECOVERY_KEY=/root/${pub}, RECOVERY_FINGERPRINT=${fingerprint}`,
    );
    note(`with kleidi key create: --recovery ${pub}=${fingerprint}`);
  }
  return 0;
}
