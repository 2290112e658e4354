// kleidi key create: a new KEK, kept in the token of this host as staged, and
// wrapped for the hosts and the recovery key that are named.
import { awaitDaemon, stateIfAny } from '../../admin/follow.ts';
import { type CreateWish, createAndHandOut, requireOfRing } from '../../admin/keys/stagedkek.ts';
import { verifiedDigest } from '../../admin/ring/verifieddigest.ts';
import { loadConfig } from '../../config.ts';
import { usage } from '../../errors.ts';
import { readRecoveryKey } from '../../keyring/recoverypublickey.ts';
import { readRequest } from '../../keyring/request.ts';
import type { Ring } from '../../keyring/ring.ts';
import { withRingLock } from '../../keyring/ringfile.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { print, printJson, warn } from '../../terminal.ts';
import { noteNextPromotion } from '../nextpromotion.ts';
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
  first: flag(`the first KEK of the ring: written with at once, as generation 1, here and on each
    host that joins by BUNDLE. Refused where the ring has a KEK`),
  out: text(
    'BUNDLE',
    `write the wrapped KEK there, for the other hosts, with the ring that names it; the digest
      that is printed goes by another way`,
  ),
  json: jsonOption,
};

export const keyCreate = command({
  changes: true,
  summary: 'a new KEK, kept in the token of this host as staged',
  notes: [
    `A new KEK, kept in the token of this host as staged: it decrypts, and is not written with
    before it is promoted; with --first it is written with at once. Killed, it goes on when run
    again.`,
  ],
  options: optionTable,
  example:
    'kleidi key create --first --for cp2.request=SHA256 --recovery recovery.pub=SHA256 --out kek.bundle',
  run: create,
});

type Options = Parsed<typeof optionTable>;

async function create(options: Options): Promise<number> {
  const config = loadConfig(options.configPath);
  const wish = await readWish(options);
  const pinned = await requireOfRing(config, wish);
  await confirmKeys([...requestClaims(wish.hosts), ...recoveryClaims(wish.recovery, pinned)]);
  const before = await stateIfAny(config);
  const { kek, ring } = await withRingLock(config.ring, () => createAndHandOut(config, wish));
  report({ fp: kek.fp, ring, digest: await verifiedDigest(config, ring) }, wish, options.json);
  await awaitDaemon(config, ring, before, [kek.fp]);
  return 0;
}

async function readWish(options: Options): Promise<CreateWish> {
  const file = options.text('recovery');
  const wish = {
    recovery: file === undefined ? undefined : await readRecoveryKey(file),
    hosts: await Promise.all(options.texts('for').map(readRequest)),
    isRepinning: options.flag('new-recovery'),
    isFirst: options.flag('first'),
    out: options.text('out'),
  };
  requireOut(wish);
  return wish;
}

function requireOut({ recovery, hosts, out, isRepinning }: CreateWish): void {
  if (isRepinning && recovery === undefined) throw usage('--new-recovery without --recovery PUB');
  if (hosts.length > 0 && out === undefined) {
    throw usage('--for without --out: the host could not get its KEK');
  }
  if (out !== undefined && hosts.length === 0 && recovery === undefined) {
    throw usage('--out without --for or --recovery: the bundle would have no recipient');
  }
}

interface Created {
  readonly fp: Fingerprint;
  readonly ring: Ring;
  readonly digest: string | null;
}

function report(
  { fp, ring, digest }: Created,
  { recovery, hosts, out, isFirst }: CreateWish,
  json: boolean,
): void {
  if (json) {
    printJson({
      fp,
      state: isFirst ? 'write' : 'staged',
      recovery: recovery?.fingerprint ?? null,
      hosts: hosts.map(({ host, fingerprint }) => ({ host, sha256: fingerprint })),
      bundle: out ?? null,
      digest,
    });
  } else {
    print(isFirst ? `KEK ${fp} is the write KEK, generation 1` : `KEK ${fp} is staged`);
    if (hosts.length > 0)
      print(`on each of the other hosts: kleidi ${commandFor(fp, digest, out ?? '')}`);
    if (digest !== null) noteNextPromotion(ring, fp);
  }
  if (recovery === undefined) {
    warn('this KEK has no recovery: if the token is lost, so is everything sealed under it');
  }
}

/** Nobody joins the ring of a host that lacks a KEK of it; the new KEK alone can go on. */
function commandFor(fp: Fingerprint, digest: string | null, out: string): string {
  return digest === null ? `key import ${out} --expect ${fp}` : `join ${out} --expect ${digest}`;
}
