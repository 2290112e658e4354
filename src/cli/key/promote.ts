// kleidi key promote: from now on this host writes with another KEK, under a
// generation that was never announced before. Safe to repeat: a run that was
// killed is finished by the next.

import { awaitPromotion, type Waiting } from '../../admin/apiserver/livewait.ts';
import { awaitDaemon, stateBeforeChange } from '../../admin/follow.ts';
import { requireHeld, selectFingerprint } from '../../admin/keys/held.ts';
import { requireResult } from '../../admin/ring/expecteddigest.ts';
import { verifiedDigest } from '../../admin/ring/verifieddigest.ts';
import { type Config, loadConfig } from '../../config.ts';
import { usage } from '../../errors.ts';
import { formatKeyId, keyIdHash } from '../../keyring/keyid.ts';
import { type Ring, writeKekOf } from '../../keyring/ring.ts';
import { readRing, withRingLock, writeRing } from '../../keyring/ringfile.ts';
import { type RingView, requireSucceeds } from '../../keyring/succession.ts';
import { promote } from '../../keyring/transitions.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { note, print, printJson } from '../../terminal.ts';
import { promotionOf } from '../nextpromotion.ts';
import { jsonOption, one, text } from '../option.ts';
import { resultOption } from '../sharedoptions.ts';
import { command } from '../verb.ts';
import { waitingOf, waitOptions } from '../waitoptions.ts';

export const keyPromote = command({
  changes: true,
  summary: 'write with this KEK from now on, under a new generation',
  notes: [
    `Makes a staged or read KEK the write KEK; the old one still decrypts. Of its fingerprint the
    first eight digits are enough. Use the same generation on every host: the first prints it.
    Rollback is the same command with the old KEK, and gets a new generation. Safe to repeat.`,
    `With a running daemon it waits up to 10 s until that announces the new key id; exit code 1
    where it does not, with the ring changed all the same: fix what kleidi status says and
    repeat.`,
  ],
  options: {
    generation: text('N', 'default: the current one plus 1'),
    expect: resultOption,
    ...waitOptions(`until the running kube-apiserver of this host has asked for the new key id (it
      asks once a minute), and writes with it`),
    json: jsonOption,
  },
  positionals: one('FP'),
  example: 'kleidi key promote 00112233445566778899aabbccddeeff --generation 4',
  async run(options) {
    const generation = parseGeneration(options.text('generation'));
    const waiting = waitingOf(options);
    const config = loadConfig(options.configPath);
    const fp = selectFingerprint(await readRing(config.ring), options.positionals[0]);
    const before = await stateBeforeChange(config);
    const wish = { fp, generation, expect: options.text('expect') };
    const ring = await withRingLock(config.ring, () => change(config, wish, before));
    const announced = await awaitDaemon(config, ring, before);
    if (waiting !== undefined) await waitForApiserver(options.configPath, waiting);
    const digest = await verifiedDigest(config, ring);
    report(ring, { fp, announced, digest }, options.json);
    if (!options.json && wish.expect === undefined && digest !== null) {
      note(`on each other host: kleidi ${promotionOf(fp, ring.generation, digest)}`);
    }
    return 0;
  },
});

async function waitForApiserver(configPath: string, waiting: Waiting): Promise<void> {
  const live = await awaitPromotion(configPath, waiting);
  note(
    live === undefined
      ? 'no API server of this host uses kleidi: nothing to wait for'
      : 'the API server of this host has the new key id',
  );
}

/** @throws KleidiError usage */
export function parseGeneration(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text);
  throw usage(`'${text}' is no generation: a whole number from 1`);
}

interface Wish {
  readonly fp: Fingerprint;
  readonly generation: number | undefined;
  readonly expect: string | undefined;
}

async function change(
  config: Config,
  { fp, generation, expect }: Wish,
  inUse: RingView | undefined,
): Promise<Ring> {
  const ring = await readRing(config.ring);
  const isDone = writeKekOf(ring)?.fp === fp;
  const next = promote(ring, fp, generation ?? ring.generation + (isDone ? 0 : 1));
  requireSucceeds(`KEK ${fp} is not promoted`, next, inUse);
  requireResult(next, expect);
  if (next === ring) return ring;
  await requireHeld(
    config,
    next.keks.filter((kek) => kek.fp === fp),
  );
  await writeRing(config.ring, next);
  return next;
}

interface Promoted {
  readonly fp: Fingerprint;
  readonly announced: boolean;
  readonly digest: string | null;
}

function report(ring: Ring, { fp, announced, digest }: Promoted, json: boolean): void {
  const { ring: name, generation } = ring;
  const keyId = formatKeyId({ ring: name, generation, fp });
  const hash = keyIdHash(keyId);
  if (json) printJson({ fp, generation, keyId, keyIdHash: hash, announced, digest });
  else {
    print(`KEK ${fp} is the write KEK, generation ${generation}`);
    print(`key id ${keyId}\n       ${hash}`);
    if (digest !== null) print(`ring   ${digest}`);
  }
  if (!announced) note('no daemon answers: it announces the key id once it starts');
}
