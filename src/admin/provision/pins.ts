// Makes PINs and stores them where the configuration says: 192 random bits
// each, as an encrypted systemd credential or in a file for its reader alone. Where
// systemd is too old to encrypt (before 250: Ubuntu 22.04), as a credential that
// root alone can read. What exists is never replaced.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { isErrno, writeFileAtomically, writeNewFile } from '../../files.ts';
import {
  encryptedCredential,
  parseReference,
  plainCredential,
  readSecret,
} from '../../host/credentials.ts';
import { keepHostKey, requireNoLostHostKey } from '../../host/hostkey.ts';
import { pinPartPath, wrapPin } from '../../keyring/pinpart.ts';
import type { RecoveryKey } from '../../keyring/recoverypublickey.ts';
import type { Reader } from '../../providers/pkcs11/tokenfolder.ts';
import { warn } from '../../terminal.ts';
import { writePlainCredentialDropIn } from './dropin.ts';

export function secretExists(reference: string): boolean {
  const parsed = parseReference(reference);
  if (parsed.kind === 'file') return existsSync(parsed.path);
  return [encryptedCredential(parsed.name), plainCredential(parsed.name)].some((path) =>
    existsSync(path),
  );
}

/**
 * Makes and stores a PIN where there is none. It is on disk before this returns.
 * @param reader who must be able to read a `file:` PIN: the daemon
 */
export async function ensurePin(reference: string, reader: Reader | undefined): Promise<void> {
  if (secretExists(reference)) return;
  const parsed = parseReference(reference);
  const pin = randomBytes(24).toString('base64url');
  if (parsed.kind === 'credential') return storeCredential(parsed.name, pin);
  await mkdir(dirname(parsed.path), { recursive: true, mode: 0o700 });
  const mode = reader !== undefined && reader.uid === undefined ? 0o440 : 0o400;
  await writeNewFile(parsed.path, pin, mode, reader && { ...reader, uid: reader.uid ?? 0 });
}

async function storeCredential(name: string, pin: string): Promise<void> {
  const path = encryptedCredential(name);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const encrypted = await encryptCredential(name, pin);
  if (encrypted !== undefined) {
    await keepHostKey();
    return writeNewFile(path, encrypted, 0o400);
  }
  const plain = plainCredential(name);
  warn(
    `this systemd cannot encrypt credentials (250 and newer can): ${plain} is in clear, for root alone`,
  );
  await writeNewFile(plain, pin, 0o400);
  if (name === 'pin') await writePlainCredentialDropIn(plain);
}

/** For a host that was provisioned by a kleidi that kept no copy of the host key. */
export async function keepHostKeyOf(reference: string): Promise<void> {
  const parsed = parseReference(reference);
  if (parsed.kind === 'credential' && existsSync(encryptedCredential(parsed.name))) {
    await keepHostKey();
  }
}

/** Each time anew: what is there may be of another PIN. @throws KleidiError pin-missing */
export async function keepPinFor(config: Config, recovery: RecoveryKey): Promise<void> {
  const { pin, token } = config.pkcs11;
  const part = wrapPin(await readSecret(pin, process.env), token, recovery);
  await writeFileAtomically(pinPartPath(config.ring), part, 0o600);
}

/**
 * `--with-key=host`: opens only on this machine's disk; the TPM adds to that later.
 * @returns undefined where this systemd has no systemd-creds
 */
async function encryptCredential(name: string, pin: string): Promise<Buffer | undefined> {
  await requireNoLostHostKey();
  const args = ['encrypt', '--with-key=host', `--name=${name}`, '-', '-'];
  const creds = spawn('systemd-creds', args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const chunks: Buffer[] = [];
  creds.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  creds.stdin.end(pin);
  const failed = (cause?: unknown): KleidiError =>
    new KleidiError('tool-missing', `systemd-creds cannot encrypt the credential '${name}'`, {
      hint: 'run as root; outside systemd set pkcs11.pin and pkcs11.soPin to file:/PATH',
      cause,
    });
  creds.stdin.on('error', () => undefined);
  const [code] = await once(creds, 'close').catch((cause: unknown) => {
    if (isErrno(cause, 'ENOENT')) return [undefined];
    throw failed(cause);
  });
  if (code === undefined) return undefined;
  if (code !== 0) throw failed();
  return Buffer.concat(chunks);
}
