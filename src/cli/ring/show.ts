// kleidi ring show: what the ring file says.
import { loadConfig } from '../../config.ts';
import { keyIdHash } from '../../keyring/keyid.ts';
import { keyIdOf } from '../../keyring/ring.ts';
import { readRing } from '../../keyring/ringfile.ts';
import { print, printJson, table } from '../../terminal.ts';
import { jsonOption } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { command } from '../verb.ts';

const optionTable = { json: jsonOption };

export const ringShow = command({
  summary: 'KEKs by fingerprint, their states, the key id',
  notes: ['The ring file: KEKs by fingerprint, their states, the key id.'],
  options: optionTable,
  example: 'kleidi ring show',
  run: show,
});

async function show({ configPath, json }: Parsed<typeof optionTable>): Promise<number> {
  const found = await readRing(loadConfig(configPath).ring);
  const keyId = keyIdOf(found);
  if (json) {
    printJson({ ...found, keyId: keyId ?? null, keyIdHash: keyId ? keyIdHash(keyId) : null });
    return 0;
  }
  print(`ring ${found.ring}, generation ${found.generation}`);
  print(keyId ? `key id ${keyId}\n       ${keyIdHash(keyId)}` : 'no write KEK yet');
  const rows = found.keks.map((kek) => [
    kek.fp,
    kek.state,
    kek.provider,
    kek.created,
    kek.recovery === null ? 'none' : `sha256:${kek.recovery.slice(0, 16)}…`,
  ]);
  if (rows.length > 0)
    print(`\n${table([['FINGERPRINT', 'STATE', 'PROVIDER', 'CREATED', 'RECOVERY'], ...rows])}`);
  return 0;
}
