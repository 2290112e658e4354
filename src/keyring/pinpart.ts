// The PIN of a token, wrapped for the offline recovery key: a way to the PIN that needs
// nothing of the host. Who has the recovery key can have every KEK of its bundles
// anyway. JSON of format 2 around both layers of hybrid.ts, RSA-OAEP with SHA-256 inside;
// label and context tell it from a KEK, and the token of another host.
import { dirname, join } from 'node:path';
import { KleidiError, reasonOf } from '../errors.ts';
import { pinLabel, recoveryPinPrefix } from '../providers/domainseparation.ts';
import { type HybridPrivateKey, type HybridPublicKey, hybridAlg, open, seal } from './hybrid.ts';

const kind = 'kleidi-pin';
const oaep = { oaepHash: 'sha256', oaepLabel: pinLabel } as const;

/** Beside the ring; of this host alone. */
export function pinPartPath(ringPath: string): string {
  return join(dirname(ringPath), 'pin.recovery.json');
}

/** @returns the text of the file */
export function wrapPin(pin: string, token: string, key: HybridPublicKey): string {
  const wrapped = seal(Buffer.from(pin), key, contextOf(token), oaep).toString('base64');
  const file = { format: 2, kind, token, recovery: key.fingerprint, alg: hybridAlg, wrapped };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/**
 * @param path for messages
 * @returns the PIN; the caller wipes it
 * @throws KleidiError refused
 */
export function unwrapPin(text: string, path: string, key: HybridPrivateKey): Buffer {
  const { token, recovery, wrapped } = parse(text, path);
  if (recovery !== key.fingerprint) {
    throw refused(path, `it is wrapped for recovery key sha256:${recovery}`);
  }
  try {
    return open(Buffer.from(wrapped, 'base64'), key, contextOf(token), oaep);
  } catch {
    throw refused(path, 'it is damaged, or was changed');
  }
}

function contextOf(token: string): string {
  return `${recoveryPinPrefix}${token}`;
}

function parse(text: string, path: string) {
  try {
    const file = JSON.parse(text) as Record<string, unknown>;
    const { format, token, recovery, alg, wrapped, ...rest } = file;
    if (rest['kind'] !== kind) throw new Error(`its kind is not ${kind}`);
    if (format !== 2 || alg !== hybridAlg) throw new Error('it is not of format 2');
    if (Object.keys(rest).length > 1) throw new Error('it has fields that are unknown');
    if (typeof token !== 'string' || typeof recovery !== 'string' || typeof wrapped !== 'string') {
      throw new Error('a field of it is missing');
    }
    return { token, recovery, wrapped };
  } catch (cause) {
    throw refused(path, reasonOf(cause));
  }
}

function refused(path: string, why: string): KleidiError {
  return new KleidiError('refused', `the PIN cannot be had from ${path}: ${why}`, {
    hint: 'take pin.recovery.json of this very host (beside its ring, or from a backup), and the private file of the recovery key that it names',
  });
}
