// kleidi ring digest: one line that is equal on two hosts exactly when their
// rings are.
import { loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { openableDigest, ringDigest } from '../keyring/digest.ts';
import { readRing } from '../keyring/ringfile.ts';
import { askState } from './askstate.ts';
import { parseExpected } from './expecteddigest.ts';
import { print, printJson } from './terminal.ts';
import { parse, type Verb } from './verb.ts';

export const ringDigestOf: Verb = {
  help: `usage: kleidi ring digest [--openable] [--live] [--expect DIGEST] [--json]

SHA-256 over the ring: equal on two hosts exactly when their rings are.

  --openable        only what can be opened: ring name and KEKs that are not retired
  --live            from the running daemon, counting only KEKs that it has verified
  --expect DIGEST   exit code 1 where it is another one: a gate for scripts

example: kleidi ring digest --live`,
  run: digest,
};

async function digest(args: readonly string[]): Promise<number> {
  const options = parse(args, { openable: 'flag', live: 'flag', expect: 'text' });
  const { configPath, json, flag } = options;
  const wanted = options.text('expect');
  const expected = wanted === undefined ? undefined : parseExpected(wanted);
  const config = loadConfig(configPath);
  const value = flag('live')
    ? await liveDigest(config.socket, flag('openable'))
    : (flag('openable') ? openableDigest : ringDigest)(await readRing(config.ring));
  const isExpected = expected === undefined || expected === value;
  if (json) printJson({ digest: value, ...(expected === undefined ? {} : { isExpected }) });
  else print(value);
  if (isExpected) return 0;
  throw new KleidiError('refused', `the digest of this host is ${value}, not the expected one`, {
    hint: 'compare kleidi ring show on both hosts; a host that lags: kleidi ring adopt',
  });
}

async function liveDigest(socket: string, openable: boolean): Promise<string> {
  const state = await askState(socket);
  return openable ? state.openableDigest : state.digest;
}
