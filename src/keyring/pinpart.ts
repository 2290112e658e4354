// The PIN of a token, wrapped for the offline recovery key: a way to the PIN that needs
// nothing of the host. Who has the recovery key can have every KEK of its bundles
// anyway. JSON of format 1 around RSA-OAEP with SHA-256; the label tells it from a KEK.
import { constants, createPublicKey, privateDecrypt, publicEncrypt } from 'node:crypto';
import { dirname, join } from 'node:path';
import { KleidiError } from '../errors.ts';
import type { RecoveryKey } from './recipient.ts';
import type { RecoveryPrivateKey } from './recoverykey.ts';

const kind = 'kleidi-pin';
const padding = {
  padding: constants.RSA_PKCS1_OAEP_PADDING,
  oaepHash: 'sha256',
  oaepLabel: Buffer.from('kleidi/v1 pin'),
};

/** Beside the ring; of this host alone. */
export function pinPartPath(ringPath: string): string {
  return join(dirname(ringPath), 'pin.recovery.json');
}

/** @returns the text of the file */
export function wrapPin(pin: string, token: string, { spki, fingerprint }: RecoveryKey): string {
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const wrapped = publicEncrypt({ key, ...padding }, Buffer.from(pin)).toString('base64');
  const file = { format: 1, kind, token, recovery: fingerprint, wrapped };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/**
 * @param path for messages
 * @returns the PIN; the caller wipes it
 * @throws KleidiError refused
 */
export function unwrapPin(text: string, path: string, key: RecoveryPrivateKey): Buffer {
  const { recovery, wrapped } = parse(text, path);
  if (recovery !== key.fingerprint) {
    throw refused(path, `it is wrapped for recovery key sha256:${recovery}`);
  }
  try {
    return privateDecrypt({ key: key.privateKey, ...padding }, Buffer.from(wrapped, 'base64'));
  } catch {
    throw refused(path, 'its wrapped part is damaged');
  }
}

function parse(text: string, path: string): { recovery: string; wrapped: string } {
  try {
    const file = JSON.parse(text) as Record<string, unknown>;
    const { format, recovery, wrapped } = file;
    if (file['kind'] !== kind) throw new Error(`its kind is not ${kind}`);
    if (format !== 1 || typeof recovery !== 'string' || typeof wrapped !== 'string') {
      throw new Error('it is not of format 1');
    }
    return { recovery, wrapped };
  } catch (cause) {
    throw refused(path, cause instanceof Error ? cause.message : String(cause));
  }
}

function refused(path: string, why: string): KleidiError {
  return new KleidiError('refused', `the PIN cannot be had from ${path}: ${why}`, {
    hint: 'take pin.recovery.json of this very host (beside its ring, or from a backup), and the private file of the recovery key that it names',
  });
}
