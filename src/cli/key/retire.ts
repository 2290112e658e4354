// kleidi key retire: Decrypt refuses a KEK from now on, while its key stays in
// the token; --undo takes that back. The proof, before destroy, that nothing
// needs it any more.

import { awaitDaemon, stateBeforeChange } from '../../admin/follow.ts';
import { requireHeld, selectFingerprint } from '../../admin/keys/held.ts';
import { requireResult } from '../../admin/ring/expecteddigest.ts';
import { ringLine, verifiedDigest } from '../../admin/ring/verifieddigest.ts';
import { type Config, loadConfig } from '../../config.ts';
import { recordChangeTimes } from '../../keyring/changetimes.ts';
import type { Ring } from '../../keyring/ring.ts';
import { readRing, withRingLock, writeRing } from '../../keyring/ringfile.ts';
import { retire, unretire } from '../../keyring/transitions.ts';
import type { StateResponse } from '../../kms/contract.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { note, print, printJson, warn } from '../../terminal.ts';
import { flag, jsonOption, one } from '../option.ts';
import { resultOption } from '../sharedoptions.ts';
import { command } from '../verb.ts';

export const keyRetire = command({
  changes: true,
  summary: 'refuse this KEK from now on, or no longer (--undo)',
  notes: [
    `Refuses Decrypt under this KEK from now on (the first eight digits of its fingerprint are
    enough). Its key stays in the token. Not for the write KEK. Keep a KEK in state read for as
    long as any backup of etcd needs it. A kube-apiserver that is running has opened its old
    seeds already and reads on for up to a day: restart each in turn to see whether anything is
    missing.`,
  ],
  options: {
    undo: flag('the KEK decrypts again'),
    expect: resultOption,
    json: jsonOption,
  },
  positionals: one('FP'),
  example: 'kleidi key retire 00112233445566778899aabbccddeeff',
  async run(options) {
    const config = loadConfig(options.configPath);
    const fp = selectFingerprint(await readRing(config.ring), options.positionals[0]);
    const before = await stateBeforeChange(config);
    const undo = options.flag('undo');
    const wish = { fp, undo, expect: options.text('expect') };
    const ring = await withRingLock(config.ring, () => change(config, wish));
    const followed = await awaitDaemon(config, ring, before);
    report(wish, await verifiedDigest(config, ring), options.json);
    if (!undo) warnOfUse(fp, before);
    if (!followed) note('no daemon answers: it reads the ring once it starts');
    return 0;
  },
});

interface Wish {
  readonly fp: Fingerprint;
  readonly undo: boolean;
  readonly expect: string | undefined;
}

async function change(config: Config, { fp, undo, expect }: Wish): Promise<Ring> {
  const ring = await readRing(config.ring);
  const next = undo ? unretire(ring, fp) : retire(ring, fp);
  requireResult(next, expect);
  if (next === ring) {
    // Where its time was lost: now is late enough.
    await recordChangeTimes(config.ring, ring, ring);
    return ring;
  }
  const held = next.keks.filter((kek) => kek.fp === fp);
  if (undo) await requireHeld(config, held);
  await writeRing(config.ring, next);
  return next;
}

function report({ fp, undo }: Wish, digest: string | null, json: boolean): void {
  const state = undo ? 'read' : 'retired';
  if (json) printJson({ fp, state, digest });
  else print(`KEK ${fp} is ${state}${ringLine(digest)}`);
}

function warnOfUse(fp: Fingerprint, before: StateResponse | undefined): void {
  const use = before?.keks.find((kek) => kek.fp === fp);
  if (use === undefined || use.decrypts === 0) return;
  const last = new Date(use.lastDecryptUnixMs).toISOString();
  warn(
    `since its start the daemon has opened ${use.decrypts} seeds under this KEK, the last at ${last}: something may need it still (--undo)`,
  );
}
