// Whose the files of a host are: root's, read by the group of the daemon; the token has an
// owner of its own. As systemd/kleidi.tmpfiles makes the folders of the package.
import { readFileSync, type Stats } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../config.ts';
import type { Owner } from '../files.ts';
import { changeTimesPath } from '../keyring/changetimes.ts';
import { pinPartPath } from '../keyring/pinpart.ts';
import { daemonReader, tokenOwner } from '../providers/pkcs11/tokenfolder.ts';
import { provisionRecordPath } from './machine.ts';

const packaged = { folder: '/var/lib/kleidi', user: 'kleidi-token', group: 'kleidi' } as const;

/** How a file or folder should be. */
export interface Due {
  readonly path: string;
  readonly owner: Owner;
  /** Bits that must be set; with `most`, those that may. */
  readonly least: number;
  readonly most: number;
}

/**
 * Undefined where the daemon is who we are, or who it is cannot be told.
 * @param etc where passwd and group are
 */
export function tokenOwnerDue({ ring, pkcs11 }: Config, etc = '/etc'): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const [uid, gid] = [
    idOf(join(etc, 'passwd'), packaged.user),
    idOf(join(etc, 'group'), packaged.group),
  ];
  // Not by the token folder there: its owner may be what is wrong.
  if (dirname(ring) === packaged.folder && uid !== undefined && gid !== undefined) {
    return { uid, gid };
  }
  const reader = daemonReader(pkcs11.softhsmConf);
  if (reader === undefined || reader.uid !== undefined) return undefined;
  return tokenOwner(pkcs11.softhsmConf);
}

/** What is beside the ring, the folder itself first. What is not there is left out by who asks. */
export function ownersDue({ ring }: Config, { gid }: Owner): readonly Due[] {
  const folder = dirname(ring);
  const shared = { owner: { uid: 0, gid }, least: 0o640, most: 0o644 };
  const own = { owner: { uid: 0, gid: 0 }, least: 0o600, most: 0o600 };
  return [
    { path: folder, owner: { uid: 0, gid }, least: 0o750, most: 0o755 },
    { path: ring, ...shared },
    { path: provisionRecordPath(ring), ...shared },
    { path: join(folder, 'vault-known.json'), ...shared },
    { path: join(folder, 'bundles'), owner: { uid: 0, gid: 0 }, least: 0o700, most: 0o700 },
    { path: changeTimesPath(ring), ...own },
    { path: pinPartPath(ring), ...own },
  ];
}

export function isAsDue(
  { uid, gid, mode }: Stats,
  { owner, least, most }: Omit<Due, 'path'>,
): boolean {
  const isGroupRight = gid === owner.gid || (most & 0o070) === 0;
  const bits = mode & 0o777;
  return uid === owner.uid && isGroupRight && (bits & least) === least && (bits & ~most) === 0;
}

/** sysusers.d(5) keeps its users there. */
function idOf(path: string, name: string): number | undefined {
  try {
    const line = readFileSync(path, 'utf8')
      .split('\n')
      .find((each) => each.startsWith(`${name}:`));
    const id = Number(line?.split(':')[2]);
    return Number.isInteger(id) ? id : undefined;
  } catch {
    return undefined;
  }
}
