// kleidi key create: a new KEK, kept in the token of this host as staged, and
// wrapped for the hosts and the recovery key that are named.
import { existsSync } from 'node:fs';
import { awaitDaemon, stateIfAny } from '../../admin/follow.ts';
import {
  createStagedKek,
  handOut,
  type MadeKek,
  removeCreateRecord,
  resumeCreate,
} from '../../admin/keys/createrecord.ts';
import { requireRequests } from '../../admin/keys/requests.ts';
import { keepPinFor } from '../../admin/provision/pins.ts';
import { verifiedDigest } from '../../admin/ring/verifieddigest.ts';
import { type Config, loadConfig } from '../../config.ts';
import { KleidiError, usage } from '../../errors.ts';
import type { BundleKek } from '../../keyring/bundle.ts';
import {
  pinnedRecovery,
  type RecoveryKey,
  readRecoveryKey,
  requirePinned,
} from '../../keyring/recoverypublickey.ts';
import { type RequestFile, readRequest } from '../../keyring/request.ts';
import type { Ring } from '../../keyring/ring.ts';
import { readRing, withRingLock } from '../../keyring/ringfile.ts';
import { print, printJson, warn } from '../../terminal.ts';
import { flag, jsonOption, text, texts } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { confirmKeys, recoveryClaims, requestClaims } from '../prompt/confirm.ts';
import { command } from '../verb.ts';

const optionTable = {
  for: texts(
    'REQUEST[=SHA256]',
    `also wrap it for the host that made this request, which then runs kleidi join; once for
      each host. With =SHA256 a request with another fingerprint is refused; without it the
      fingerprint is asked about, and refused where there is no terminal.`,
  ),
  recovery: text(
    'PUB[=SHA256]',
    `also wrap it for this offline recovery key. The first one is pinned: every later KEK needs
      the same, and asks no more.`,
  ),
  'new-recovery':
    flag(`PUB takes the place of the pinned one, which is lost or given up: so far as KEKs are made
      for it. On the others: kleidi join, with PUB`),
  out: text(
    'BUNDLE',
    `write the wrapped KEK there, for the other hosts, with the ring that names it; the digest
      that is printed goes by another way`,
  ),
  json: jsonOption,
};

export const keyCreate = command({
  summary: 'a new KEK, kept in the token of this host as staged',
  notes: [
    `A new KEK, kept in the token of this host as staged: it decrypts, and is not written with
    before it is promoted. Killed, it goes on when run again.`,
  ],
  options: optionTable,
  example:
    'kleidi key create --for cp2.request=SHA256 --recovery recovery.pub=SHA256 --out kek.bundle',
  run: create,
});

interface Wish {
  readonly recovery: RecoveryKey | undefined;
  readonly hosts: readonly RequestFile[];
  /** The recovery key need not be the pinned one. */
  readonly isRepinning: boolean;
  readonly out: string | undefined;
}

async function create(options: Parsed<typeof optionTable>): Promise<number> {
  const config = loadConfig(options.configPath);
  const file = options.text('recovery');
  const wish: Wish = {
    recovery: file === undefined ? undefined : await readRecoveryKey(file),
    hosts: await Promise.all(options.texts('for').map(readRequest)),
    isRepinning: options.flag('new-recovery'),
    out: options.text('out'),
  };
  requireOut(wish);
  const ring = await readRing(config.ring);
  requireRequests(ring.ring, wish.hosts);
  requireRecoveryOf(ring, wish);
  const pinned = pinnedRecovery(ring);
  await confirmKeys([...requestClaims(wish.hosts), ...recoveryClaims(wish.recovery, pinned)]);
  const before = await stateIfAny(config);
  const { kek, after } = await withRingLock(config.ring, () => createStaged(config, wish));
  report(kek, await verifiedDigest(config, after), wish, options.json);
  await awaitDaemon(config, after, before, [kek.fp]);
  return 0;
}

/** Another one than the pinned was confirmed by the operator before, as each new key is. */
function requireRecoveryOf(ring: Ring, { recovery, isRepinning }: Wish): void {
  if (isRepinning && recovery !== undefined) return;
  requirePinned(ring, recovery?.fingerprint ?? null);
}

function requireOut({ recovery, hosts, out, isRepinning }: Wish): void {
  if (isRepinning && recovery === undefined) throw usage('--new-recovery without --recovery PUB');
  if (hosts.length > 0 && out === undefined) {
    throw usage('--for without --out: the host could not get its KEK');
  }
  if (out !== undefined && hosts.length === 0 && recovery === undefined) {
    throw usage('--out without --for or --recovery: the bundle would have no recipient');
  }
}

interface Staged {
  readonly kek: BundleKek;
  readonly after: Ring;
}

async function createStaged(config: Config, wish: Wish): Promise<Staged> {
  const ring = await readRing(config.ring);
  requireRecoveryOf(ring, wish);
  const made = (await resumeCreate(config, ring, wish)) ?? (await createNew(config, wish));
  const after = await readRing(config.ring);
  await handOut(wish.out, made, after);
  if (wish.recovery !== undefined) await keepPinFor(config, wish.recovery);
  await removeCreateRecord(config);
  return { kek: made.kek, after };
}

/** Each step is on disk before the next: record, recovery part, token, ring; then the bundle. */
async function createNew(config: Config, wish: Wish): Promise<MadeKek> {
  if (wish.out !== undefined && existsSync(wish.out)) {
    throw new KleidiError('already-exists', `${wish.out} exists already`, {
      hint: 'choose another name, or move the old file away; where key create was killed at its very end, this is its bundle: kleidi ring show lists the KEK',
    });
  }
  return createStagedKek(config, await readRing(config.ring), wish);
}

function report(
  { fp }: BundleKek,
  digest: string | null,
  { recovery, hosts, out }: Wish,
  json: boolean,
): void {
  if (json) {
    printJson({
      fp,
      state: 'staged',
      recovery: recovery?.fingerprint ?? null,
      hosts: hosts.map(({ host, fingerprint }) => ({ host, sha256: fingerprint })),
      bundle: out ?? null,
      digest,
    });
  } else {
    print(`KEK ${fp} is staged`);
    if (hosts.length > 0)
      print(`on each of the other hosts: kleidi ${commandFor(fp, digest, out ?? '')}`);
  }
  if (recovery === undefined) {
    warn('this KEK has no recovery: if the token is lost, so is everything sealed under it');
  }
}

/** Nobody joins the ring of a host that lacks a KEK of it; the new KEK alone can go on. */
function commandFor(fp: string, digest: string | null, out: string): string {
  return digest === null ? `key import ${out} --expect ${fp}` : `join ${out} --expect ${digest}`;
}
