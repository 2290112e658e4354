// Where PINs come from: systemd credentials (systemd.exec(5),
// LoadCredentialEncrypted=) or a file that only its owner can read. Never the
// environment, never an argument.
import { execFile } from 'node:child_process';
import { existsSync, type Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KleidiError, reasonOf } from '../errors.ts';
import { isErrno } from '../files.ts';
import { bindingIn, isBoundToTpm } from './binding.ts';
import { lostHostKey, requireOwnHostKey } from './hostkey.ts';

/** Credentials at rest; only root, and so only a command, opens them there. */
const credentialFolder = '/etc/kleidi/credentials';

/** Encrypted by systemd-creds. */
export function encryptedCredential(name: string): string {
  return join(credentialFolder, `${name}.cred`);
}

/** Where systemd is older than 250 and cannot encrypt: a file that root alone reads. */
export function plainCredential(name: string): string {
  return join(credentialFolder, name);
}

type SecretReference =
  | { readonly kind: 'credential'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string };

/** @param text `credential:NAME` or `file:/PATH`, as the configuration has checked it */
export function parseReference(text: string): SecretReference {
  return text.startsWith('file:')
    ? { kind: 'file', path: text.slice('file:'.length) }
    : { kind: 'credential', name: text.slice('credential:'.length) };
}

/** Where it may be kept, whether there is anything or not. */
export function secretPaths(text: string): readonly string[] {
  const reference = parseReference(text);
  if (reference.kind === 'file') return [reference.path];
  return [encryptedCredential(reference.name), plainCredential(reference.name)];
}

/** The name of a new one beside it, until it is known that the token has that one. */
export function pendingPath(path: string): string {
  return `${path}.pending`;
}

/** The new one that waits: a change of the PIN has not come to its end. */
export function pendingSecret(text: string): string | undefined {
  return secretPaths(text)
    .map(pendingPath)
    .find((path) => existsSync(path));
}

/** As root, beside the unit. @throws as `readSecret` */
export async function readPendingSecret(text: string): Promise<string | undefined> {
  const path = pendingSecret(text);
  if (path === undefined) return undefined;
  const reference = parseReference(text);
  if (reference.kind === 'credential' && path === pendingPath(encryptedCredential(reference.name)))
    return decryptCredential(reference.name, path);
  return readSecretFile(path, 'private');
}

/** @throws KleidiError pin-missing, tool-missing; the message never holds the secret */
export async function readSecret(text: string, env: NodeJS.ProcessEnv): Promise<string> {
  const reference = parseReference(text);
  if (reference.kind === 'file') return readSecretFile(reference.path, 'private');
  const folder = env['CREDENTIALS_DIRECTORY'];
  if (folder !== undefined) return readSecretFile(join(folder, reference.name), 'systemd');
  const plain = plainCredential(reference.name);
  if (existsSync(plain)) return readSecretFile(plain, 'private');
  return decryptCredential(reference.name);
}

/**
 * A credential never comes to a process that has started without it, so the
 * daemon ends, and systemd starts it again with the one that is there by then.
 * @throws KleidiError pin-missing
 */
export async function requireCredential(text: string, env: NodeJS.ProcessEnv): Promise<void> {
  const folder = env['CREDENTIALS_DIRECTORY'];
  if (folder === undefined || parseReference(text).kind === 'file') return;
  await readSecret(text, env);
}

async function readSecretFile(path: string, kind: 'private' | 'systemd'): Promise<string> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw missing(path, cause);
  });
  try {
    const found = await file.stat();
    if (kind === 'private' && !isPrivate(found)) throw tooOpen(path, found.mode);
    const text = await file.readFile('utf8').catch((cause: unknown) => {
      throw missing(path, cause);
    });
    return requireText(path, text);
  } finally {
    await file.close();
  }
}

/** For its owner alone; or root's, for the group that the daemon runs as. */
function isPrivate({ mode, uid, gid }: Stats): boolean {
  const others = mode & 0o077;
  if (others === 0) return true;
  const isDaemonGroup = process.geteuid?.() === 0 || process.getegid?.() === gid;
  return others === 0o040 && uid === 0 && gid !== 0 && isDaemonGroup;
}

/** Outside the unit: root may open what the unit is given. */
async function decryptCredential(name: string, path = encryptedCredential(name)): Promise<string> {
  await requireOwnHostKey();
  try {
    const options = { encoding: 'utf8', maxBuffer: 4096 } as const;
    const run = promisify(execFile);
    const { stdout } = await run(
      'systemd-creds',
      ['decrypt', `--name=${name}`, path, '-'],
      options,
    );
    return requireText(path, stdout);
  } catch (cause) {
    if (cause instanceof KleidiError) throw cause;
    if (isErrno(cause, 'ENOENT')) {
      throw new KleidiError('tool-missing', `systemd-creds is needed to open ${path}`, {
        hint: 'it comes with systemd 250 and newer; with an older one use file:/PATH',
        cause,
      });
    }
    if (!existsSync(path)) throw gone(path);
    const binding = await bindingIn(path);
    const lost = binding === 'tpm2' ? undefined : await lostHostKey();
    if (lost !== undefined) throw lost;
    if (isBoundToTpm(binding)) throw closedByTpm(path);
    throw closed(path);
  }
}

function gone(path: string): KleidiError {
  return new KleidiError('pin-missing', `credential ${path} cannot be opened: it does not exist`, {
    hint: 'put it back from a backup of this host; where there is none, kleidi provision names the way back',
  });
}

function closed(path: string): KleidiError {
  return new KleidiError('pin-missing', `credential ${path} cannot be opened`, {
    hint: 'run as root; where it is damaged, put it back from a backup of this host, or have the PIN opened with the recovery key: /usr/share/doc/kleidi/operations.md, lost host key',
  });
}

function closedByTpm(path: string): KleidiError {
  return new KleidiError(
    'pin-missing',
    `credential ${path} cannot be opened: it is bound to the TPM of the machine that sealed it`,
    {
      hint: 'run as root; where this is another board, its TPM was cleared, or a PCR of pkcs11.pinPcrs has changed, the recovery key opens the PIN: /usr/share/doc/kleidi/operations.md, lost TPM',
    },
  );
}

/** One trailing newline is what editors and echo add; it is not part of the secret. */
function requireText(path: string, text: string): string {
  const secret = text.replace(/\r?\n$/, '');
  if (secret !== '') return secret;
  throw new KleidiError('pin-missing', `there is no PIN in ${path}`, {
    hint: 'on a new host run: kleidi provision; on others put the file /etc/kleidi/credentials/pin.cred back from a backup of this host (or the PIN into the file that pkcs11.pin names, mode 0400)',
  });
}

function missing(path: string, cause: unknown): KleidiError {
  const why = reasonOf(cause);
  return new KleidiError('pin-missing', `secret ${path} cannot be read: ${why}`, {
    hint: 'check LoadCredentialEncrypted= of the unit, or the path in pkcs11.pin; on a new host run: kleidi provision',
    cause,
  });
}

function tooOpen(path: string, mode: number): KleidiError {
  const found = (mode & 0o777).toString(8).padStart(4, '0');
  return new KleidiError('pin-missing', `secret ${path} has mode ${found}: others could read it`, {
    hint: `chmod 0400 ${path}`,
  });
}
