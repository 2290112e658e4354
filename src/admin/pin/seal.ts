// A PIN in the form in which it is kept: an encrypted systemd credential, or a file for its
// reader alone. Where systemd is too old to encrypt (before 250: Ubuntu 22.04), a credential
// that root alone can read.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KleidiError } from '../../errors.ts';
import type { Owner } from '../../files.ts';
import { encryptedCredential, parseReference, plainCredential } from '../../host/credentials.ts';
import { keepHostKey } from '../../host/hostkey.ts';
import type { Reader } from '../../providers/pkcs11/tokenfolder.ts';
import { warn } from '../../terminal.ts';
import { hasPlainCredentialDropIn, writePlainCredentialDropIn } from '../provision/dropin.ts';
import { encryptCredential, type SealPolicy } from './systemdcreds.ts';

/** What is to be at `path`; nothing but its folder is made yet. */
interface SealedSecret {
  readonly path: string;
  readonly contents: string | Buffer;
  readonly mode: number;
  readonly owner: Owner | undefined;
}

/** 192 bits, which no token refuses for its characters. */
export function randomPin(): string {
  return randomBytes(24).toString('base64url');
}

/**
 * In the form that the PIN has on this host; where it has none, in the best that there is.
 * @param reader who must be able to read a `file:` PIN: the daemon
 * @throws KleidiError refused, pin-missing, tool-missing
 */
export async function sealSecret(
  reference: string,
  pin: string,
  reader: Reader | undefined,
  policy: SealPolicy,
): Promise<SealedSecret> {
  const parsed = parseReference(reference);
  if (parsed.kind === 'file') return inFile(parsed.path, pin, reader);
  const [path, plain] = [encryptedCredential(parsed.name), plainCredential(parsed.name)];
  if (existsSync(path) && existsSync(plain)) throw bothExist(path, plain);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const root = { mode: 0o400, owner: undefined };
  const encrypted = existsSync(plain)
    ? undefined
    : await encryptCredential(parsed.name, pin, policy);
  if (encrypted !== undefined) {
    await keepHostKey();
    return { path, contents: encrypted, ...root };
  }
  warn(
    `this systemd cannot encrypt credentials (250 and newer can): ${plain} is in clear, for root alone`,
  );
  return { path: plain, contents: pin, ...root };
}

/** Once a file of `sealSecret` is in its place: the unit has it from its next start on. */
export async function settled(reference: string): Promise<void> {
  const parsed = parseReference(reference);
  if (parsed.kind === 'file' || parsed.name !== 'pin') return;
  const plain = plainCredential(parsed.name);
  if (existsSync(plain) && !hasPlainCredentialDropIn()) await writePlainCredentialDropIn(plain);
}

/** What was kept there keeps its owner and its mode, unless others could read it. */
async function inFile(
  path: string,
  pin: string,
  reader: Reader | undefined,
): Promise<SealedSecret> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined && (found.mode & 0o037) === 0) {
    const owner = process.getuid?.() === 0 ? { uid: found.uid, gid: found.gid } : undefined;
    return { path, contents: pin, mode: found.mode & 0o777, owner };
  }
  const mode = reader !== undefined && reader.uid === undefined ? 0o440 : 0o400;
  return { path, contents: pin, mode, owner: reader && { ...reader, uid: reader.uid ?? 0 } };
}

function bothExist(path: string, plain: string): KleidiError {
  return new KleidiError('refused', `${path} and ${plain} both exist; nothing was changed`, {
    hint: 'remove the one that is not in use: systemctl cat kleidi',
  });
}
