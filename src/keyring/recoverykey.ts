// The private half of the recovery key: made, written and opened on a machine
// that is offline. Its file is JSON around an encrypted PKCS#8 PEM; a PEM file
// that OpenSSL made is read as well.
import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { KleidiError } from '../errors.ts';
import { encryptPkcs8 } from './pkcs8.ts';
import { type ComparedKey, publicKeyOfObject } from './publickey.ts';
import { asRecoveryKey } from './recipient.ts';

export interface RecoveryPrivateKey extends ComparedKey {
  readonly privateKey: KeyObject;
}

export interface NewRecoveryKey extends ComparedKey {
  /** Text of the private file. */
  readonly file: string;
}

const rsaBits = 4096;
const generate = promisify(generateKeyPair);

export async function makeRecoveryKey(passphrase: Buffer): Promise<NewRecoveryKey> {
  const { privateKey } = await generate('rsa', { modulusLength: rsaBits });
  const key = asRecoveryKey(publicKeyOfObject(privateKey));
  const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
  const file = {
    format: 1,
    kind: 'kleidi-recovery-key',
    sha256: key.fingerprint,
    privateKey: encryptPkcs8(pkcs8, passphrase),
  };
  pkcs8.fill(0);
  return { ...key, file: `${JSON.stringify(file, null, 2)}\n` };
}

/** @throws KleidiError file-failed, refused (wrong passphrase, or not such a file) */
export async function openRecoveryKey(
  path: string,
  passphrase: Buffer,
): Promise<RecoveryPrivateKey> {
  const { pem, sha256 } = parseFile(await readText(path), path);
  const privateKey = decrypt(pem, passphrase, path);
  try {
    const key = asRecoveryKey(publicKeyOfObject(privateKey));
    if (sha256 !== undefined && sha256 !== key.fingerprint) throw new Error('it is damaged');
    return { ...key, privateKey };
  } catch (cause) {
    throw notOne(path, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function parseFile(text: string, path: string): { pem: string; sha256: unknown } {
  if (text.trimStart().startsWith('-----BEGIN')) return { pem: text, sha256: undefined };
  try {
    const { format, kind, privateKey, sha256 } = JSON.parse(text) as Record<string, unknown>;
    if (kind !== 'kleidi-recovery-key') throw new Error('its kind is not kleidi-recovery-key');
    if (format !== 1 || typeof privateKey !== 'string') throw new Error('it is not of format 1');
    return { pem: privateKey, sha256 };
  } catch (cause) {
    throw notOne(path, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/** Without the cause: OpenSSL's errors tell nothing, and nothing of it shall be printed. */
function decrypt(pem: string, passphrase: Buffer, path: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, passphrase });
  } catch {
    throw new KleidiError(
      'refused',
      `${path} cannot be opened: the passphrase is wrong, or the file is damaged`,
      { hint: 'try again; if it never opens, take another copy of the file' },
    );
  }
}

function notOne(path: string, why: string, cause: unknown): KleidiError {
  return new KleidiError('refused', `${path} is not the private file of a recovery key: ${why}`, {
    hint: 'name the file of mode 0600 that kleidi recovery create wrote',
    cause,
  });
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new KleidiError('file-failed', `recovery key ${path} cannot be read: ${why}`, {
      hint: 'name the private file of the recovery key by --key',
      cause,
    });
  }
}
