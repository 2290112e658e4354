// kleidi ring show | digest: what the ring file says, and one line that is
// equal on two hosts exactly when their rings are.
import { loadConfig } from '../config.ts';
import { openableDigest, ringDigest } from '../keyring/digest.ts';
import { formatKeyId, keyIdHash } from '../keyring/keyid.ts';
import { writeKekOf } from '../keyring/ring.ts';
import { readRing } from '../keyring/ringfile.ts';
import { askState } from './askstate.ts';
import { print, printJson, table } from './terminal.ts';
import { parse, usage, type Verb } from './verb.ts';

export const ring: Verb = {
  help: `usage: kleidi ring show [--json]
       kleidi ring digest [--openable] [--live] [--json]

show     the ring file: KEKs by fingerprint, their states, the key id.
digest   sha256 over it; equal on two hosts exactly when their rings are.

  --openable   only what can be opened: ring name and KEKs that are not retired
  --live       from the running daemon, counting only KEKs that it has verified

example: kleidi ring digest --live`,

  async run(args) {
    const [action, ...rest] = args;
    if (action === 'show') return show(rest);
    if (action === 'digest') return digest(rest);
    throw usage(action === undefined ? 'show or digest?' : `unknown action '${action}'`);
  },
};

async function show(args: readonly string[]): Promise<number> {
  const { configPath, json } = parse(args, {});
  const found = await readRing(loadConfig(configPath).ring);
  const fp = writeKekOf(found)?.fp;
  const keyId = fp && formatKeyId({ ring: found.ring, generation: found.generation, fp });
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

async function digest(args: readonly string[]): Promise<number> {
  const { configPath, json, flag } = parse(args, { openable: 'flag', live: 'flag' });
  const config = loadConfig(configPath);
  const value = flag('live')
    ? await liveDigest(config.socket, flag('openable'))
    : (flag('openable') ? openableDigest : ringDigest)(await readRing(config.ring));
  if (json) printJson({ digest: value });
  else print(value);
  return 0;
}

async function liveDigest(socket: string, openable: boolean): Promise<string> {
  const state = await askState(socket);
  return openable ? state.openableDigest : state.digest;
}
