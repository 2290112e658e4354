// A backup: ring, recovery bundles and configuration of a host in one file. No
// PIN and no token, so it is no secret; its checksum tells damage, not tampering.
import { createHash } from 'node:crypto';
import { KleidiError } from '../errors.ts';
import { isRecord, recordIn } from '../jsonvalue.ts';
import { orderedRing } from './bundle.ts';
import { parseBundle } from './bundlefile.ts';
import { unpinnedParts } from './coverage.ts';
import { formatRing, isTime, parseRing, type Ring } from './ring.ts';
import { type RingView, requireSucceeds } from './succession.ts';

export interface BackupFile {
  /** A bundle's name in its folder, or the absolute path of a file of the configuration. */
  readonly name: string;
  readonly text: string;
}

export interface Backup {
  readonly format: 2;
  readonly kind: 'kleidi-backup';
  readonly created: string;
  readonly ring: Ring;
  readonly bundles: readonly BackupFile[];
  readonly configuration: readonly BackupFile[];
}

const kind = 'kleidi-backup';

/** No separator: a restored bundle stays in its folder. */
const bundleName = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,120}\.json$/;

export function isBundleName(name: string): boolean {
  return bundleName.test(name);
}

export function formatBackup(backup: Backup): string {
  const content = ordered(backup);
  return `${JSON.stringify({ ...content, sha256: checksum(content) }, null, 2)}\n`;
}

/** Or says that it is one. */
export function isBackup(text: string): boolean {
  return recordIn(text)?.['kind'] === kind;
}

/** @throws KleidiError refused: damaged, of another format, or no backup */
export function parseBackup(text: string, path: string): Backup {
  const found = recordIn(text);
  if (found === undefined) throw unfit(path, 'it is not JSON');
  const { format, created, ring, bundles, configuration, sha256, ...rest } = found;
  if (rest['kind'] !== kind) throw unfit(path, 'it is no backup of kleidi');
  if (format !== 2) throw unfit(path, `its format is ${format}, not 2`);
  if (Object.keys(rest).length > 1) throw unfit(path, 'it has fields that are unknown');
  const areFiles = isFileList(bundles, isBundleName) && isFileList(configuration, isAbsolute);
  if (!areFiles || !isTime(created)) throw unfit(path, 'a field of it is not right');
  const whole = parseRing(formatRing(ring as Ring), path);
  const backup = ordered({ format, kind, created, ring: whole, bundles, configuration });
  if (sha256 !== checksum(backup)) throw unfit(path, 'it is damaged: its checksum is wrong');
  return backup;
}

/** Fields in one order, so that the same backup has the same checksum. */
function ordered({ format, kind, created, ring, bundles, configuration }: Backup): Backup {
  const files = (list: readonly BackupFile[]) => list.map(({ name, text }) => ({ name, text }));
  const inOrder = { format, kind, created, ring: orderedRing(ring) };
  return { ...inOrder, bundles: files(bundles), configuration: files(configuration) };
}

export interface RestoreWish {
  /** By --generation. */
  readonly generation: number | undefined;
  /** By --all-lost: no other member has this ring any more. */
  readonly isAllLost: boolean;
}

interface RestoreHost {
  /** The ring file; undefined where it is lost or damaged. */
  readonly local: Ring | undefined;
  /** Of the running daemon. */
  readonly state: RingView | undefined;
  /** What this host has written with last, as far as that is known. */
  readonly announced: RingView | undefined;
  readonly wish: RestoreWish;
}

/**
 * The ring that this host has after a restore: its own where it has one, whatever the
 * backup says, so that a backup makes no KEK the write KEK of a living host.
 * @throws KleidiError refused
 */
export function ringAfterRestore(
  backup: Ring,
  { local, state, announced, wish }: RestoreHost,
): Ring {
  if (local !== undefined && (local.generation > 0 || local.keks.length > 0)) {
    return kept(local, backup, wish);
  }
  const views = [local, state].filter((view) => view !== undefined);
  for (const view of views) requireSucceeds('this backup is not restored', backup, view, new Set());
  if (backup.generation === 0) return backup;
  const known = Math.max(0, ...views.map(({ generation }) => generation));
  if (known > 0 && wish.generation === undefined) return backup;
  const highest = Math.max(known, backup.generation, announced?.generation ?? 0);
  const next = { ...backup, generation: requireGeneration(highest, wish) };
  requireSucceeds('this backup is not restored', next, announced, new Set());
  return next;
}

function kept(local: Ring, backup: Ring, { generation }: RestoreWish): Ring {
  if (local.ring !== backup.ring) {
    throw refuse(
      `the backup is of the ring '${backup.ring}', this host has ring '${local.ring}'`,
      'use a backup of this cluster',
    );
  }
  if (generation === undefined) return local;
  throw refuse(
    `this host has a ring, of generation ${local.generation}: a restore puts none in its place`,
    'leave --generation out, and missing bundles are added; to follow another member: kleidi ring adopt',
  );
}

/**
 * A recovery part for another key than the one of the ring could be anybody's.
 * @throws KleidiError refused
 */
export function requirePinnedParts(ring: Ring, bundles: readonly BackupFile[]): void {
  for (const { name, text } of bundles) {
    const { keks } = parseBundle(text, `${name} in the backup`);
    const strange = unpinnedParts(ring.keks, keks).find(({ recipient }) => recipient !== null);
    if (strange === undefined) continue;
    const { recipient, pin } = strange;
    throw refuse(
      `bundle ${name} is wrapped for recovery key sha256:${recipient}, the ring has sha256:${pin ?? 'none'} for this KEK`,
      'use another backup, and look who could have changed this one',
    );
  }
}

/**
 * Which KEK the others write with by now, a backup cannot say, and no id that it knows may be
 * announced again. So a backup gives a ring only where no member has one, and above all
 * generations that anybody has announced.
 */
function requireGeneration(announced: number, { generation, isAllLost }: RestoreWish): number {
  if (generation === undefined || !isAllLost) {
    throw refuse(
      'this host has no ring to tell what is true now',
      'if another member has its ring: kleidi ring adopt here, or kleidi join where the token is lost too; if none has: --all-lost --generation N, one more than kleidi snapshot scan prints as highest',
    );
  }
  if (generation > announced) return generation;
  throw refuse(
    `generation ${generation} is not above ${announced}, which was announced`,
    'name one more than kleidi snapshot scan prints as highest',
  );
}

function isFileList(value: unknown, isName: (name: string) => boolean): value is BackupFile[] {
  return Array.isArray(value) && value.every((file: unknown) => isFile(file, isName));
}

function isFile(file: unknown, isName: (name: string) => boolean): boolean {
  if (!isRecord(file)) return false;
  const { name, text, ...rest } = file;
  const isKnown = Object.keys(rest).length === 0;
  return isKnown && typeof text === 'string' && typeof name === 'string' && isName(name);
}

function isAbsolute(name: string): boolean {
  return name.startsWith('/');
}

function checksum(content: object): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

function unfit(path: string, why: string): KleidiError {
  return refuse(
    `${path} cannot be restored: ${why}`,
    'use another backup: kleidi backup makes them',
  );
}

function refuse(message: string, hint: string): KleidiError {
  return new KleidiError('refused', message, { hint });
}
