// A backup: ring, recovery bundles and configuration of a host in one file. No
// PIN and no token, so it is no secret; its checksum tells damage, not tampering.
import { createHash } from 'node:crypto';
import { KleidiError } from '../errors.ts';
import { formatRing, parseRing, type Ring } from './ring.ts';

export interface BackupFile {
  /** A bundle's name in its folder, or the absolute path of a file of the configuration. */
  readonly name: string;
  readonly text: string;
}

export interface Backup {
  readonly format: 1;
  readonly kind: 'kleidi-backup';
  readonly created: string;
  readonly ring: Ring;
  readonly bundles: readonly BackupFile[];
  readonly configuration: readonly BackupFile[];
}

/** No separator: a restored bundle stays in its folder. */
const bundleName = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,120}\.json$/;

export function isBundleName(name: string): boolean {
  return bundleName.test(name);
}

export function formatBackup(backup: Backup): string {
  const { format, kind, created, ring, bundles, configuration } = backup;
  const content = { format, kind, created, ring, bundles, configuration };
  return `${JSON.stringify({ ...content, sha256: checksum(content) }, null, 2)}\n`;
}

/** @throws KleidiError refused: damaged, of another format, or no backup */
export function parseBackup(text: string, path: string): Backup {
  const { sha256, ...content } = parseObject(text, path);
  if (content['kind'] !== 'kleidi-backup') throw unfit(path, 'it is no backup of kleidi');
  if (content['format'] !== 1) throw unfit(path, `its format is ${content['format']}, not 1`);
  if (sha256 !== checksum(content)) throw unfit(path, 'it is damaged: its checksum is wrong');
  const { created, bundles, configuration } = content;
  const areFiles = isFileList(bundles, isBundleName) && isFileList(configuration, isAbsolute);
  if (!areFiles || typeof created !== 'string') throw unfit(path, 'a field of it is not right');
  const ring = parseRing(formatRing(content['ring'] as Ring), path);
  return { format: 1, kind: 'kleidi-backup', created, ring, bundles, configuration };
}

/**
 * The ring that is written by a restore.
 * @param local what this host has, in its file or in its running daemon
 * @param wanted by --generation
 * @throws KleidiError refused
 */
export function restoredRing(
  backup: Ring,
  local: readonly Pick<Ring, 'ring' | 'generation'>[],
  wanted: number | undefined,
): Ring {
  const other = local.find(({ ring }) => ring !== backup.ring);
  if (other !== undefined) {
    throw refuse(
      `the backup is of ring '${backup.ring}', this host has ring '${other.ring}'`,
      'use a backup of this cluster',
    );
  }
  const floor = Math.max(0, ...local.map(({ generation }) => generation));
  if (floor > backup.generation) {
    throw refuse(
      `this host has generation ${floor}, the backup only ${backup.generation}`,
      'what this host has is newer: keep it; kleidi ring adopt takes the ring of another member',
    );
  }
  if (backup.generation === 0) return backup;
  return { ...backup, generation: requireGeneration(backup, floor, wanted) };
}

/** Later key ids than the backup knows of may have been announced already. */
function requireGeneration(backup: Ring, floor: number, wanted: number | undefined): number {
  if (wanted === undefined && floor > 0) return backup.generation;
  if (wanted === undefined) {
    throw refuse(
      'this host has no ring to tell which generation was the last',
      `name it by --generation N, ${backup.generation} or above: the one of the other members, or one more than kleidi snapshot scan prints as highest`,
    );
  }
  if (wanted >= backup.generation) return wanted;
  throw refuse(
    `generation ${wanted} is below ${backup.generation}, which the backup has`,
    'nothing ever lowers a generation: name a higher one',
  );
}

function parseObject(text: string, path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw unfit(path, 'it is not JSON');
}

function isFileList(value: unknown, isName: (name: string) => boolean): value is BackupFile[] {
  return Array.isArray(value) && value.every((file: unknown) => isFile(file, isName));
}

function isFile(file: unknown, isName: (name: string) => boolean): boolean {
  if (typeof file !== 'object' || file === null) return false;
  const { name, text } = file as Record<string, unknown>;
  return typeof text === 'string' && typeof name === 'string' && isName(name);
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
