// key-create.json beside the ring: the KEK that a `kleidi key create` is at, so
// that after a kill the next run can finish or undo it. Gone once the command is
// done. Holds what the bundle holds, so nothing secret in clear.
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { writeFileAtomically, writeNewFile } from '../../files.ts';
import { type BundleKek, formatBundle, recoveryPart } from '../../keyring/bundle.ts';
import { parseBundle } from '../../keyring/bundlefile.ts';
import { readAnnounced } from '../../keyring/changetimes.ts';
import type { Ring } from '../../keyring/ring.ts';
import { writeRing } from '../../keyring/ringfile.ts';
import { newRingId, type RingName, requireSameRing } from '../../keyring/ringid.ts';
import { stage } from '../../keyring/transitions.ts';
import { vouchingKek } from '../../keyring/voucher.ts';
import { readOwnFileIfAny } from '../../readfile.ts';
import { note } from '../../terminal.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { recoveryBundlePath } from './bundlefolder.ts';
import { createKek, type KekRecipients, ringEntry, storeRecoveryBundle } from './create.ts';

export function createRecordPath(config: Config): string {
  return join(dirname(config.ring), 'key-create.json');
}

export interface MadeKek {
  readonly kek: BundleKek;
  /** The first KEK of a ring gives it its id. */
  readonly name: RingName;
}

/** As every KEK is made: recorded, kept in the token, staged in the ring. */
export async function createStagedKek(
  config: Config,
  ring: Ring,
  wish: KekRecipients,
): Promise<MadeKek> {
  if (ring.ringId === null) await requireNothingAnnounced(config);
  const name = { ring: ring.ring, ringId: ring.ringId ?? newRingId() };
  const record = (kek: BundleKek): Promise<void> =>
    writeFileAtomically(createRecordPath(config), formatBundle(name, [kek]), 0o600);
  const kek = await createKek(config, name, wish, vouchingKek(ring) ?? null, record);
  await writeRing(config.ring, stage(ring, ringEntry(kek), name.ringId));
  return { kek, name };
}

/** A ring without a KEK may stand for one that was lost: another first KEK opens nothing of that. */
async function requireNothingAnnounced({ ring: path }: Config): Promise<void> {
  const announced = await readAnnounced(path);
  if (announced === undefined) return;
  throw new KleidiError(
    'refused',
    `this host has written in ring '${announced.ring}', generation ${announced.generation}, whose KEKs are not here; no KEK was made`,
    {
      hint: 'they come back from another member or with the recovery key: kleidi key request here, kleidi join; no member is left: kleidi restore',
    },
  );
}

/** Not synced: one that comes back after a crash is found to be done. */
export async function removeCreateRecord(config: Config): Promise<void> {
  await rm(createRecordPath(config), { force: true });
}

/** The bundle for others, with the ring that names the KEK: the last step before the record goes. */
export async function handOut(
  out: string | undefined,
  { kek, name }: MadeKek,
  ring: Ring,
): Promise<void> {
  if (out === undefined) return;
  const text = formatBundle(name, [kek], ring);
  if (existsSync(out) && (await readFile(out, 'utf8')) === text) return;
  await writeNewFile(out, text, 0o600);
}

/**
 * Deals with what a killed `key create` has left: finishes it where the same
 * recipients are wanted again, undoes it where nothing of it can be in use.
 * @returns the finished KEK, staged in the ring, or undefined
 */
export async function resumeCreate(
  config: Config,
  ring: Ring,
  wish: KekRecipients & { readonly isFirst: boolean },
): Promise<MadeKek | undefined> {
  const made = await readCreateRecord(config, ring);
  if (made === undefined) return undefined;
  const { kek, name } = made;
  const entry = ring.keks.find(({ fp }) => fp === kek.fp);
  const state = entry?.state ?? 'staged';
  const isAsWished = state === 'staged' || (wish.isFirst && state === 'write');
  const isWanted = sameRecipients(kek, wish) && isAsWished;
  const isHeld = (await new TokenCommand(config).list()).some(({ fp }) => fp === kek.fp);
  if (isWanted && isHeld) {
    note(`KEK ${kek.fp} of an interrupted key create is taken up again`);
    await storeRecoveryBundle(config, name, kek);
    if (entry === undefined) {
      await writeRing(config.ring, stage(ring, ringEntry(kek), name.ringId));
    }
    return made;
  }
  if (entry === undefined) await undo(config, kek);
  else note(`KEK ${kek.fp} of an interrupted key create stays ${entry.state} in the ring`);
  await removeCreateRecord(config);
  return undefined;
}

/** Its bundle is handed out after the ring has it: nobody else can know this KEK. */
async function undo(config: Config, kek: BundleKek): Promise<void> {
  await new TokenCommand(config).destroy(kek.fp);
  await rm(recoveryBundlePath(config, kek.fp), { force: true });
  note(`KEK ${kek.fp} of an interrupted key create was removed: nothing used it`);
}

/** @throws KleidiError file-failed */
async function readCreateRecord(config: Config, ring: Ring): Promise<MadeKek | undefined> {
  const path = createRecordPath(config);
  const hint = 'kleidi has made no key; put the file right, then run the command again';
  const text = await readOwnFileIfAny(path, 'the record of a key create', hint);
  if (text === undefined) return undefined;
  const bundle = parseBundle(text, path);
  const [kek] = bundle.keks;
  requireSameRing(path, bundle, ring);
  return kek && { kek, name: { ring: bundle.ring, ringId: bundle.ringId } };
}

function sameRecipients(kek: BundleKek, { recovery, hosts }: KekRecipients): boolean {
  const wanted = hosts.map(({ recipient }) => recipient).sort();
  const had = kek.recipients.filter(({ role }) => role === 'host').map((part) => part.recipient);
  return (
    recoveryPart(kek)?.recipient === recovery?.fingerprint &&
    JSON.stringify(had.sort()) === JSON.stringify(wanted)
  );
}
