// The folders of a host that a container of kleidi works in, and whose they are. The kubelet
// makes a folder that is missing as root's: a first container gives it to kleidi, and takes none
// that somebody else has filled, such as kleidi's own packages.

import { chmodSync, chownSync, readdirSync, statSync } from 'node:fs';
import { KleidiError } from '../errors.ts';

/** Of the user in the image: above those that a distribution gives to its own. */
export const containerId = 10_650;

interface HostFolder {
  readonly name: string;
  readonly path: string;
  readonly mode: number;
}

export const hostFolders: readonly HostFolder[] = [
  { name: 'credentials', path: '/etc/kleidi/credentials', mode: 0o700 },
  { name: 'run', path: '/run/kleidi', mode: 0o750 },
  { name: 'state', path: '/var/lib/kleidi', mode: 0o700 },
];

/**
 * As root, with no capability but CHOWN. Safe to repeat.
 * @throws KleidiError refused
 */
export function takeFolders(): void {
  for (const { path, mode } of hostFolders) {
    const { uid, gid } = statSync(path);
    if (uid === containerId && gid === containerId) continue;
    if (readdirSync(path).length > 0) throw ofAnother(path, `${uid}:${gid}`);
    chmodSync(path, mode);
    chownSync(path, containerId, containerId);
  }
}

function ofAnother(path: string, owner: string): KleidiError {
  return new KleidiError('refused', `${path} is not empty, and belongs to ${owner}`, {
    hint: 'kleidi takes no folder of another: remove its package from this host first, or what is left of it',
  });
}
