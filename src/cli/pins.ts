// Makes PINs and stores them where the configuration says: 192 random bits
// each, as an encrypted systemd credential or in a file of mode 0400. What
// exists is never replaced.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KleidiError } from '../errors.ts';
import { type Owner, writeNewFile } from '../files.ts';
import { credentialFolder, parseReference } from '../host/credentials.ts';

/** Where a secret reference is kept. */
export function secretPath(reference: string): string {
  const parsed = parseReference(reference);
  return parsed.kind === 'file' ? parsed.path : join(credentialFolder, `${parsed.name}.cred`);
}

export function secretExists(reference: string): boolean {
  return existsSync(secretPath(reference));
}

/**
 * Makes and stores a PIN where there is none. It is on disk before this returns.
 * @param reader who must be able to read a `file:` PIN: the daemon's user
 */
export async function ensurePin(reference: string, reader: Owner | undefined): Promise<void> {
  if (secretExists(reference)) return;
  const path = secretPath(reference);
  const pin = randomBytes(24).toString('base64url');
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const parsed = parseReference(reference);
  const contents = parsed.kind === 'file' ? pin : await encryptCredential(parsed.name, pin);
  await writeNewFile(path, contents, 0o400, parsed.kind === 'file' ? reader : undefined);
}

/** `--with-key=host`: opens only on this machine's disk; the TPM adds to that later. */
async function encryptCredential(name: string, pin: string): Promise<Buffer> {
  const args = ['encrypt', '--with-key=host', `--name=${name}`, '-', '-'];
  const creds = spawn('systemd-creds', args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const chunks: Buffer[] = [];
  creds.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  creds.stdin.end(pin);
  const failed = (cause?: unknown): KleidiError =>
    new KleidiError('tool-missing', `systemd-creds cannot encrypt the credential '${name}'`, {
      hint: 'run as root, with systemd 250 or newer; elsewhere set pkcs11.pin and pkcs11.soPin to file:/PATH',
      cause,
    });
  const [code] = await once(creds, 'close').catch((cause: unknown) => {
    throw failed(cause);
  });
  if (code !== 0) throw failed();
  return Buffer.concat(chunks);
}
