// kleidi ring digest: one line that is equal on two hosts exactly when their
// rings are.
import { loadConfig } from '../config.ts';
import { openableDigest, ringDigest } from '../keyring/digest.ts';
import { readRing } from '../keyring/ringfile.ts';
import { askState } from './askstate.ts';
import { print, printJson } from './terminal.ts';
import { parse, type Verb } from './verb.ts';

export const ringDigestOf: Verb = {
  help: `usage: kleidi ring digest [--openable] [--live] [--json]

SHA-256 over the ring: equal on two hosts exactly when their rings are.

  --openable   only what can be opened: ring name and KEKs that are not retired
  --live       from the running daemon, counting only KEKs that it has verified

example: kleidi ring digest --live`,
  run: digest,
};

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
