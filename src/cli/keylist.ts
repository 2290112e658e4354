// kleidi key list: every KEK of ring and token, with its attributes.
import { loadConfig } from '../config.ts';
import type { Ring } from '../keyring/ring.ts';
import { readRing } from '../keyring/ringfile.ts';
import type { KekDescription } from '../providers/provider.ts';
import { print, printJson, table } from './terminal.ts';
import { TokenCommand } from './tokencommand.ts';
import { parse, type Verb } from './verb.ts';

export const keyList: Verb = {
  help: `usage: kleidi key list [--json]

Every KEK of ring and token, with its attributes.

example: kleidi key list --json`,
  run: list,
};

async function list(args: readonly string[]): Promise<number> {
  const { configPath, json } = parse(args, {});
  const config = loadConfig(configPath);
  const ring = await readRing(config.ring);
  const keks = merge(ring, await new TokenCommand(config).list());
  if (json) printJson(keks);
  else print(table([['FINGERPRINT', 'RING', 'TOKEN', 'NOTE'], ...keks.map(row)]));
  return 0;
}

interface Listed {
  readonly fp: string;
  readonly state: string | null;
  readonly inToken: boolean;
  readonly sensitive: boolean | null;
  readonly extractable: boolean | null;
}

function merge(ring: Ring, held: readonly KekDescription[]): Listed[] {
  const fps = new Set([...ring.keks, ...held].map((kek) => kek.fp));
  return [...fps].map((fp) => {
    const object = held.find((kek) => kek.fp === fp);
    return {
      fp,
      state: ring.keks.find((kek) => kek.fp === fp)?.state ?? null,
      inToken: object !== undefined,
      sensitive: object?.sensitive ?? null,
      extractable: object?.extractable ?? null,
    };
  });
}

function row(kek: Listed): string[] {
  const notes: string[] = [];
  if (!kek.inToken) notes.push('not in the token of this host');
  if (kek.state === null) notes.push('not in the ring: left by an interrupted command, or foreign');
  if (kek.extractable === true) notes.push('EXTRACTABLE: whoever has the PIN can copy it');
  if (kek.sensitive === false) notes.push('NOT SENSITIVE: whoever has the PIN can read it');
  return [kek.fp, kek.state ?? '-', kek.inToken ? 'yes' : 'NO', notes.join('; ')];
}
