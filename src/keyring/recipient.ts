// The offline recovery key, as far as a host knows it: its public half. A file
// with a PEM public key, or kleidi's own JSON form of the same. Known by the
// SHA-256 of its SPKI, which a person compares with the one on paper.
import { createHash, createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { KleidiError } from '../errors.ts';

export interface RecoveryKey {
  readonly spki: Buffer;
  /** SHA-256 of the SPKI, 64 hex digits. */
  readonly fingerprint: string;
}

/**
 * @param argument `FILE` or `FILE=SHA256`
 * @throws KleidiError file-failed, refused (not a public RSA key of 3072 bits or more, or another one than named)
 */
export async function readRecoveryKey(argument: string): Promise<RecoveryKey> {
  const [, path = argument, expected] = /^(.*)=([0-9a-fA-F]{64})$/.exec(argument) ?? [];
  const key = parseRecoveryKey(await readText(path), path);
  if (expected !== undefined && expected.toLowerCase() !== key.fingerprint) {
    throw new KleidiError(
      'refused',
      `${path} is not the expected recovery key: its fingerprint is ${key.fingerprint}`,
      {
        hint: 'somebody may have swapped the file: fetch it again from its source',
      },
    );
  }
  return key;
}

function parseRecoveryKey(text: string, path: string): RecoveryKey {
  try {
    const key = createPublicKey(pemOf(text));
    if (key.asymmetricKeyType !== 'rsa' || (key.asymmetricKeyDetails?.modulusLength ?? 0) < 3072) {
      throw new Error('it is not RSA of 3072 bits or more');
    }
    if (/PRIVATE KEY/.test(text)) throw new Error('it is a private key, which must stay offline');
    const spki = key.export({ format: 'der', type: 'spki' });
    return { spki, fingerprint: createHash('sha256').update(spki).digest('hex') };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new KleidiError('refused', `${path} is not a recovery public key: ${why}`, {
      hint: 'make one offline: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -aes256 -out recovery.key; openssl pkey -in recovery.key -pubout -out recovery.pub',
      cause,
    });
  }
}

function pemOf(text: string): string {
  if (!text.trimStart().startsWith('{')) return text;
  const { format, publicKey } = JSON.parse(text) as Record<string, unknown>;
  if (format !== 1 || typeof publicKey !== 'string') throw new Error('it is not of format 1');
  return publicKey;
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new KleidiError('file-failed', `recovery key ${path} cannot be read: ${why}`, {
      hint: 'name the file with the recovery public key',
      cause,
    });
  }
}
