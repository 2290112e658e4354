// What kleidi restore would do on this host: which ring it has then, and which files are put
// where they are missing. restore does it, restore --check shows it.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { bundleFolder } from '../admin/keys/bundlefolder.ts';
import type { Config } from '../config.ts';
import {
  type Backup,
  type BackupFile,
  type RestoreWish,
  requirePinnedParts,
  ringAfterRestore,
} from '../keyring/backup.ts';
import type { Bundle } from '../keyring/bundle.ts';
import { parseBundle } from '../keyring/bundlefile.ts';
import { readAnnounced } from '../keyring/changetimes.ts';
import type { Ring } from '../keyring/ring.ts';
import { readRingIfWhole } from '../keyring/ringfile.ts';
import type { RingView } from '../keyring/succession.ts';

export interface RingPlan {
  /** What is here; undefined where it is lost or damaged. */
  readonly local: Ring | undefined;
  readonly next: Ring;
}

/**
 * @param state of the running daemon
 * @throws KleidiError refused
 */
export async function planRing(
  config: Config,
  backup: Backup,
  wish: RestoreWish,
  state: RingView | undefined,
): Promise<RingPlan> {
  const local = await readRingIfWhole(config.ring);
  const announced = await readAnnounced(config.ring);
  const next = ringAfterRestore(backup.ring, { local, state, announced, wish });
  requirePinnedParts(next, backup.bundles);
  return { local, next };
}

export interface PlannedFile {
  readonly path: string;
  readonly text: string;
  readonly mode: number;
  readonly folderMode: number;
}

/** What the ring has destroyed does not come back. */
export function plannedBundles(config: Config, backup: Backup, ring: Ring): PlannedFile[] {
  const ended = new Set(ring.keks.filter(({ state }) => state === 'destroyed').map(({ fp }) => fp));
  const wanted = backup.bundles.filter((file) =>
    bundleIn(file).keks.some(({ fp }) => !ended.has(fp)),
  );
  const folder = bundleFolder(config);
  const modes = { mode: 0o600, folderMode: 0o700 };
  return wanted.map(({ name, text }) => ({ path: join(folder, name), text, ...modes }));
}

/** These two paths and no others, whatever the backup says. */
export function plannedConfiguration(
  configPath: string,
  config: Config,
  { configuration }: Backup,
): PlannedFile[] {
  const allowed = [resolve(configPath), config.pkcs11.softhsmConf];
  const wanted = configuration.filter(({ name }) => allowed.includes(name));
  const modes = { mode: 0o644, folderMode: 0o755 };
  return wanted.map(({ name, text }) => ({ path: name, text, ...modes }));
}

/** How the file at that path is now. */
export async function stateOf({ path, text }: PlannedFile): Promise<'missing' | 'same' | 'other'> {
  if (!existsSync(path)) return 'missing';
  return (await readFile(path, 'utf8')) === text ? 'same' : 'other';
}

/** @throws KleidiError refused */
export function bundleIn({ name, text }: BackupFile): Bundle {
  return parseBundle(text, `${name} in the backup`);
}
