// kleidi key destroy: ends a retired KEK in the ring, and then removes it from the
// token. In this order, so that the daemon never takes the missing key for
// damage; a run that was killed between the two is finished by the next.

import { readProof, type ScanSubject } from '../../admin/apiserver/scanproof.ts';
import { awaitDaemon, stateBeforeChange } from '../../admin/follow.ts';
import { removeBundlesOf } from '../../admin/keys/bundlefolder.ts';
import { selectFingerprint } from '../../admin/keys/held.ts';
import { requireResult } from '../../admin/ring/expecteddigest.ts';
import { ringLine, verifiedDigest } from '../../admin/ring/verifieddigest.ts';
import { destroyTpmKek, tpmHolds } from '../../admin/tpm/destroy.ts';
import { findInstallations } from '../../apiserver/installation.ts';
import { type Config, loadConfig } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { readChangeTimes } from '../../keyring/changetimes.ts';
import type { Ring } from '../../keyring/ring.ts';
import { readRing, withRingLock, writeRing } from '../../keyring/ringfile.ts';
import { destroy } from '../../keyring/transitions.ts';
import type { StateResponse } from '../../kms/contract.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { under } from '../../snapshot/judgement.ts';
import { type ProvenSnapshot, settleMs } from '../../snapshot/proof.ts';
import { note, print, printJson, warn } from '../../terminal.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { flag, jsonOption, one, oneOf, text } from '../option.ts';
import { requireTyped } from '../prompt/confirmation.ts';
import { resultOption, scanOptions } from '../sharedoptions.ts';
import { command } from '../verb.ts';

export const keyDestroy = command({
  changes: true,
  summary: 'remove a retired KEK from ring and token',
  notes: [
    `Removes a retired KEK from the token of this host, permanently; in the ring its entry stays as
    destroyed, so that no other member brings it back. The first eight digits of its fingerprint
    are enough, where the ring has it; typed to confirm, all are needed. Refused while anything
    is known to need it: an object in the snapshot, or a Decrypt that the running daemon has had
    to refuse since the KEK was retired.`,
  ],
  options: {
    ...scanOptions(
      `an etcd snapshot of this cluster, taken after the KEK was retired: nothing in it may be under
      this KEK, earlier states of objects included`,
    ),
    root: text('DIR', "look for kube-apiserver's flags in another file system"),
    yes: flag('without typing the fingerprint'),
    expect: resultOption,
    json: jsonOption,
  },
  positionals: one('FP'),
  groups: [oneOf('scan', 'no-scan')],
  remarks: [
    `Its recovery bundle beside the ring goes too. To end the KEK everywhere, destroy it on each
    member, and delete older backups and copies of the bundle: with the recovery key they
    still open it.`,
  ],
  example: 'kleidi key destroy 00112233445566778899aabbccddeeff --scan etcd.db',
  async run(options) {
    const config = loadConfig(options.configPath);
    const fp = selectFingerprint(await readRing(config.ring), options.positionals[0]);
    const before = await stateBeforeChange(config);
    requireUnused(before, fp);
    const root = options.text('root') ?? '/';
    const proof = await readProof(options, scanSubject(config.ring, root, fp));
    if (proof !== undefined) requireAbsent(proof, fp);
    if (!options.flag('yes')) await requireTyped(fp, `KEK ${fp} will be destroyed on this host`);
    const wish = { fp, expect: options.text('expect') };
    const done = await withRingLock(config.ring, () => destroyHere(config, wish, before));
    const digest = await verifiedDigest(config, done.ring);
    report({ ...done, fp, digest }, before !== undefined, options.json);
    return 0;
  },
});

interface Wish {
  readonly fp: Fingerprint;
  readonly expect: string | undefined;
}

interface Done {
  readonly ring: Ring;
  readonly wasHeld: boolean;
  /** Bundles that hold it, and other KEKs. */
  readonly kept: readonly string[];
}

async function destroyHere(
  config: Config,
  { fp, expect }: Wish,
  before: StateResponse | undefined,
): Promise<Done> {
  const ring = await readRing(config.ring);
  const next = await without(config, ring, fp);
  requireResult(next, expect);
  if (next !== ring) await writeRing(config.ring, next);
  await awaitDaemon(config, next, before);
  const isInVault = ring.keks.some((kek) => kek.fp === fp && kek.provider === 'vault');
  if (isInVault) {
    note('Vault still holds its key: raise min_decryption_version, then trim the Transit key');
    return { ring: next, wasHeld: true, kept: [] };
  }
  const wasHeld = await destroyKey(config, next, fp);
  return { ring: next, wasHeld, kept: await removeBundlesOf(config, fp) };
}

async function destroyKey(config: Config, ring: Ring, fp: Fingerprint): Promise<boolean> {
  const provider = ring.keks.find((kek) => kek.fp === fp)?.provider;
  if (provider === 'tpm') return destroyTpmKek(config, fp);
  if (provider === undefined && (await destroyTpmKek(config, fp))) return true;
  return new TokenCommand(config).destroy(fp);
}

/** What an interrupted command has left in a token alone may be destroyed, too. */
async function without(config: Config, ring: Ring, fp: Fingerprint): Promise<Ring> {
  const kek = ring.keks.find((each) => each.fp === fp);
  if (kek !== undefined) return destroy(ring, fp);
  if ((await new TokenCommand(config).list()).some((each) => each.fp === fp)) return ring;
  if (await tpmHolds(config, fp)) return ring;
  throw new KleidiError('refused', `KEK ${fp} is neither in the ring nor in the token`, {
    hint: 'kleidi key list; if it was destroyed before, all is done',
  });
}

function requireUnused(state: StateResponse | undefined, fp: Fingerprint): void {
  const use = state?.keks.find((kek) => kek.fp === fp);
  // The ring has ended it already: a run that was killed comes to its end.
  if (use === undefined || use.state === 'destroyed' || use.refusedDecrypts === 0) return;
  const last = new Date(use.lastRefusedUnixMs).toISOString();
  throw new KleidiError(
    'refused',
    `since KEK ${fp} was retired the daemon has refused ${use.refusedDecrypts} Decrypts under it, the last at ${last}: something needs it`,
    {
      hint: `kleidi key retire ${fp} --undo, then rewrite what is under it (kleidi snapshot scan)`,
    },
  );
}

/** It was last written with by API servers some minutes after another KEK took its place. */
function scanSubject(ringPath: string, root: string, fp: Fingerprint): ScanSubject {
  return {
    ringPath,
    installations: findInstallations(root),
    async change() {
      const { retired, lastWrite } = await readChangeTimes(ringPath, fp);
      const written = lastWrite === undefined ? 0 : Date.parse(lastWrite) + settleMs;
      return {
        what: `KEK ${fp} is retired`,
        unixMs: retired === undefined ? undefined : Math.max(Date.parse(retired), written),
        howToRecord: `kleidi key retire ${fp} records it as of now: then take a new snapshot`,
      };
    },
  };
}

function requireAbsent(proof: ProvenSnapshot, fp: Fingerprint): void {
  const { path: file } = proof.snapshot;
  const found = under(proof, fp);
  if (found.live + found.older === 0) return;
  const what =
    found.live > 0 ? `${found.live} objects` : `${found.older} earlier states of objects`;
  throw new KleidiError('refused', `${file} holds ${what} under KEK ${fp}`, {
    hint:
      found.live > 0
        ? `kleidi key retire ${fp} --undo, rewrite them, and take a new snapshot`
        : 'they disappear by compaction, every 5 minutes: take a new snapshot then',
  });
}

interface Destroyed extends Done {
  readonly fp: Fingerprint;
  readonly digest: string | null;
}

function report({ fp, digest, wasHeld, kept }: Destroyed, isServed: boolean, json: boolean): void {
  if (json) printJson({ fp, destroyed: true, wasInToken: wasHeld, bundlesKept: kept, digest });
  else print(`KEK ${fp} is destroyed on this host${ringLine(digest)}`);
  if (!wasHeld) warn('it was not in the token of this host');
  if (kept.length > 0)
    warn(
      `it is still in ${kept.join(', ')}, with other KEKs: delete that where they have their own`,
    );
  if (isServed) note('the daemon may hold a copy in memory until: systemctl restart kleidi');
}
