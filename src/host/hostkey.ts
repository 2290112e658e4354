// The host key of systemd's credentials, before systemd looks at it: it deletes the
// file for ever where that was made under another machine-id (systemd 252 to 257,
// creds-util.c, get_credential_host_secret), and with it goes the PIN. So nothing of
// ours calls systemd-creds before the two were compared here, and a copy of the file
// stays beside it. A copy, because systemd refuses a file that has a hard link.
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KleidiError } from '../errors.ts';
import { isErrno, writeFileAtomically } from '../files.ts';
import { readForeignFile } from '../readfile.ts';

/** Below this root in tests. */
export interface HostKeyPaths {
  readonly key: string;
  readonly copy: string;
  readonly machineId: string;
}

export function hostKeyPaths(root = '/'): HostKeyPaths {
  const key = join(root, 'var/lib/systemd/credential.secret');
  return { key, copy: `${key}.kleidi`, machineId: join(root, 'etc/machine-id') };
}

type HostKeyState =
  | { readonly kind: 'ours' }
  /** Not there, and whether the copy would do. */
  | { readonly kind: 'missing'; readonly copy: 'none' | 'ours' | 'foreign' }
  /** Made under another machine-id: the next look deletes it. */
  | { readonly kind: 'foreign' }
  /** Not for us to read, or not of this form. */
  | { readonly kind: 'unknown' };

const machineIdFirst =
  'first put the old machine-id back (a backup; the folders in /var/log/journal are named by it)';

/** systemd's own constant, for sd_id128_get_machine_app_specific(3). */
const applicationId = Buffer.from('d3acecba0dad4cdfb8c9381528936c58', 'hex');
const idBytes = 16;
/** 16 bytes of id, 4096 of key; systemd takes up to 16 MiB. */
const maxKeyBytes = 16 << 20;

/** Only looks. */
export async function hostKeyState(paths = hostKeyPaths()): Promise<HostKeyState> {
  const key = await ownerOf(paths.key, paths.machineId);
  if (key !== 'none') return { kind: key };
  const copy = await ownerOf(paths.copy, paths.machineId);
  return { kind: 'missing', copy: copy === 'unknown' ? 'none' : copy };
}

/**
 * Before systemd-creds opens something.
 * @throws KleidiError pin-missing, with the order of the repair
 */
export async function requireOwnHostKey(paths = hostKeyPaths()): Promise<void> {
  if ((await hostKeyState(paths)).kind === 'foreign') throw changedMachineId(paths);
}

/**
 * Before systemd-creds seals something: it would make another key in place of a lost
 * one that can be put back.
 * @throws KleidiError pin-missing
 */
export async function requireNoLostHostKey(paths = hostKeyPaths()): Promise<void> {
  const state = await hostKeyState(paths);
  if (state.kind === 'foreign') throw changedMachineId(paths);
  if (state.kind === 'missing' && state.copy !== 'none') throw missingHostKey(state.copy, paths);
}

/** Why a credential could not be opened, where the host key is the reason. */
export async function lostHostKey(paths = hostKeyPaths()): Promise<KleidiError | undefined> {
  const state = await hostKeyState(paths);
  return state.kind === 'missing' ? missingHostKey(state.copy, paths) : undefined;
}

/** After a credential was sealed: what it was sealed with is kept a second time. */
export async function keepHostKey(paths = hostKeyPaths()): Promise<void> {
  if ((await ownerOf(paths.key, paths.machineId)) !== 'ours') return;
  const key = await readFile(paths.key);
  const kept = await readFile(paths.copy).catch(() => undefined);
  if (kept?.equals(key) !== true) await writeFileAtomically(paths.copy, key, 0o400);
}

async function ownerOf(
  path: string,
  machineIdPath: string,
): Promise<'none' | 'ours' | 'foreign' | 'unknown'> {
  const machineId = await readFile(machineIdPath, 'utf8').catch(() => '');
  if (!/^[0-9a-f]{32}\n?$/.test(machineId)) return 'unknown';
  try {
    const bytes = await readForeignFile(path, maxKeyBytes);
    if (bytes.length <= idBytes) return 'unknown';
    const id = applicationSpecific(Buffer.from(machineId.trim(), 'hex'));
    return bytes.subarray(0, idBytes).equals(id) ? 'ours' : 'foreign';
  } catch (error) {
    return isErrno(error, 'ENOENT') ? 'none' : 'unknown';
  }
}

/** HMAC-SHA-256 under the machine-id, cut to the form of a UUID of version 4. */
function applicationSpecific(machineId: Buffer): Buffer {
  const id = createHmac('sha256', machineId).update(applicationId).digest().subarray(0, idBytes);
  id[6] = ((id[6] ?? 0) & 0x0f) | 0x40;
  id[8] = ((id[8] ?? 0) & 0x3f) | 0x80;
  return id;
}

function changedMachineId({ machineId, key }: HostKeyPaths): KleidiError {
  return new KleidiError(
    'pin-missing',
    `${machineId} is not the one under which the PIN of this host was sealed: systemd would delete ${key}, and the PIN with it`,
    {
      hint: `${machineIdFirst}, then reboot. Until then do not start kleidi and do not run systemd-creds. If this is a clone of another host, it needs a token of its own: kleidi provision --replace copied-disk`,
    },
  );
}

function missingHostKey(copy: 'none' | 'ours' | 'foreign', paths: HostKeyPaths): KleidiError {
  const message = `${paths.key} is gone, with which the PIN of this host was sealed`;
  const putBack = `install -m 0400 ${paths.copy} ${paths.key}`;
  const hints = {
    ours: putBack,
    foreign: `${machineIdFirst}, then: ${putBack}`,
    none: 'put the file back from a backup of this host, machine-id first; or have the PIN opened with the recovery key: /usr/share/doc/kleidi/operations.md, lost host key; without either the token is lost: kleidi provision --replace lost-token',
  };
  return new KleidiError('pin-missing', message, { hint: hints[copy] });
}
