// kleidi ring digest: one line that is equal on two hosts exactly when their
// rings are.

import { askState } from '../../admin/daemonclient.ts';
import { parseExpected } from '../../admin/ring/expecteddigest.ts';
import { memberName } from '../../admin/ring/membername.ts';
import { requireVerified } from '../../admin/ring/verifieddigest.ts';
import { type Config, loadConfig } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { openableDigest, ringDigest } from '../../keyring/digest.ts';
import { readRing } from '../../keyring/ringfile.ts';
import { print, printJson } from '../../terminal.ts';
import { flag, jsonOption, text } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { command } from '../verb.ts';

const optionTable = {
  openable: flag(`only what can be opened: ring name and KEKs that are not retired`),
  live: flag(`from the running daemon, counting only KEKs that it has verified`),
  named: flag(`with the name of this host behind it: another one takes it as apiserver enable
      --ring-digest, and this one does not`),
  expect: text('DIGEST', 'exit code 1 where it is another one: a gate for scripts'),
  json: jsonOption,
};

export const ringDigestOf = command({
  summary: 'one line that is equal on two hosts exactly when their rings are',
  notes: [
    `SHA-256 over the ring: equal on two hosts exactly when their rings are. None is printed
    where token or Vault lacks a KEK that is not retired: then it is not this host's to say.`,
  ],
  options: optionTable,
  example: 'kleidi ring digest --live',
  run: digest,
});

async function digest(options: Parsed<typeof optionTable>): Promise<number> {
  const { configPath, json, flag } = options;
  const wanted = options.text('expect');
  const expected = wanted === undefined ? undefined : parseExpected(wanted);
  const config = loadConfig(configPath);
  const value = flag('live')
    ? await liveDigest(config.socket, flag('openable'))
    : await digestHere(config, flag('openable'));
  const isExpected = expected === undefined || expected === value;
  if (isExpected) {
    const shown = flag('named') ? `${value}@${memberName()}` : value;
    if (json) printJson({ digest: shown, ...(expected === undefined ? {} : { isExpected }) });
    else print(shown);
    return 0;
  }
  // The digest itself is not shown: a script could take it for the one that it asked for.
  if (json) printJson({ isExpected });
  throw new KleidiError('refused', 'the digest of this host is not the expected one', {
    hint: 'compare kleidi ring show on both hosts; a host that lags: kleidi ring adopt',
  });
}

async function digestHere(config: Config, openable: boolean): Promise<string> {
  const ring = await readRing(config.ring);
  await requireVerified(config, ring);
  return openable ? openableDigest(ring) : ringDigest(ring);
}

async function liveDigest(socket: string, openable: boolean): Promise<string> {
  const state = await askState(socket);
  return openable ? state.openableDigest : state.digest;
}
