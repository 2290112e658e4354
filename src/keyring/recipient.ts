// The offline recovery key, as far as a host knows it: its public half. A file
// with a PEM public key, or kleidi's own JSON form of the same. The first one
// that a ring has is pinned: another one could be an attacker's.
import { KleidiError } from '../errors.ts';
import {
  type ComparedKey,
  type NamedKey,
  type PublicKey,
  publicKeyOf,
  readNamedKey,
  spkiPem,
} from './publickey.ts';
import type { Ring } from './ring.ts';

export type RecoveryKey = NamedKey;

/** A recovery key is all in its SPKI: the ring pins what people compare. */
export function asRecoveryKey<T extends PublicKey>(key: T): T & ComparedKey {
  return { ...key, fingerprint: key.recipient };
}

/**
 * @param argument `FILE` or `FILE=SHA256`
 * @throws KleidiError file-failed, refused (not a public RSA key that is fit, or another one than named)
 */
export function readRecoveryKey(argument: string): Promise<RecoveryKey> {
  return readNamedKey(argument, 'recovery key', parseRecoveryKey);
}

export function formatRecoveryKey({ spki, fingerprint }: ComparedKey): string {
  const file = {
    format: 1,
    kind: 'kleidi-recovery-public',
    sha256: fingerprint,
    publicKey: spkiPem(spki),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

function parseRecoveryKey(text: string): ComparedKey {
  if (!text.trimStart().startsWith('{')) return asRecoveryKey(publicKeyOf(text));
  const file = JSON.parse(text) as Record<string, unknown>;
  const { format, publicKey, privateKey, sha256 } = file;
  if (format !== 1) throw new Error('it is not of format 1');
  if (privateKey !== undefined) throw new Error('it is a private key, which must stay offline');
  if (typeof publicKey !== 'string') throw new Error('it holds no public key');
  const key = asRecoveryKey(publicKeyOf(publicKey));
  if (sha256 !== undefined && sha256 !== key.fingerprint) {
    throw new Error('it is damaged: its sha256 is not the one of the key');
  }
  return key;
}

/** The fingerprint of the recovery key that this ring has from its first one on. */
export function pinnedRecovery(ring: Ring): string | undefined {
  return ring.keks.find((kek) => kek.recovery !== null)?.recovery ?? undefined;
}

/**
 * @param recovery the fingerprint that a new KEK has, or null
 * @throws KleidiError refused
 */
export function requirePinned(ring: Ring, recovery: string | null): void {
  const pinned = pinnedRecovery(ring);
  if (pinned === undefined || recovery === pinned) return;
  throw new KleidiError(
    'refused',
    recovery === null
      ? 'this ring has a recovery key, and the new KEK would have none'
      : `this is not the recovery key of the ring: it is sha256:${recovery}`,
    { hint: `the recovery key of the ring has the fingerprint sha256:${pinned}` },
  );
}
