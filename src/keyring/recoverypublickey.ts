// The offline recovery key, as far as a host knows it: its two public halves, in a
// file of format 2. The first one that a ring has is pinned: another one could be an
// attacker's, and replaces it only where the operator names it on each member.
import { createPublicKey } from 'node:crypto';
import { KleidiError } from '../errors.ts';
import { type HybridPublicKey, hybridOf } from './hybrid.ts';
import { type NamedKey, readNamedKey, requireOwnPem, spkiPem } from './publickey.ts';
import { isUnretired, type Ring } from './ring.ts';

export type RecoveryKey = NamedKey<HybridPublicKey>;

const kind = 'kleidi-recovery-public';

/**
 * @param argument `FILE` or `FILE=SHA256`
 * @throws KleidiError file-failed, refused (not such a file, or another key than named)
 */
export function readRecoveryKey(argument: string): Promise<RecoveryKey> {
  return readNamedKey(argument, 'recovery key', parseRecoveryKey);
}

export function formatRecoveryKey({ rsa, kem, fingerprint }: HybridPublicKey): string {
  const file = {
    format: 2,
    kind,
    sha256: fingerprint,
    rsaPublicKey: spkiPem(rsa),
    mlKemPublicKey: spkiPem(kem),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** Throws an Error that says why it is none. */
function parseRecoveryKey(text: string): HybridPublicKey {
  if (/PRIVATE KEY/.test(text)) throw new Error('it is a private key, which must stay offline');
  if (text.trimStart().startsWith('-----BEGIN')) {
    throw new Error('it is one PEM key, and a recovery key is an RSA and an ML-KEM key');
  }
  const file = JSON.parse(text) as Record<string, unknown>;
  const { format, rsaPublicKey, mlKemPublicKey, sha256, ...rest } = file;
  if (rest['kind'] !== kind) throw new Error(`its kind is not ${kind}`);
  if (format !== 2) throw new Error('it is not of format 2: make a new recovery key');
  if (Object.keys(rest).length > 1) throw new Error('it has fields that are unknown');
  if (typeof rsaPublicKey !== 'string' || typeof mlKemPublicKey !== 'string') {
    throw new Error('it does not hold an RSA and an ML-KEM public key');
  }
  const key = hybridOf(createPublicKey(rsaPublicKey), createPublicKey(mlKemPublicKey));
  requireOwnPem(rsaPublicKey, key.rsa);
  requireOwnPem(mlKemPublicKey, key.kem);
  if (sha256 === key.fingerprint) return key;
  throw new Error('it is damaged or was changed: its sha256 is not the one of its keys');
}

/**
 * The fingerprint of the recovery key that new KEKs of this ring are wrapped for: that of
 * the write KEK; before there is one, or where it has none, of another that is not retired,
 * in the order of fingerprints: the order in the file is covered by no digest.
 */
export function pinnedRecovery(ring: Ring): string | undefined {
  const write = ring.keks.filter(({ state }) => state === 'write');
  const sorted = [...ring.keks].sort((a, b) => (a.fp < b.fp ? -1 : 1));
  const inOrder = [...write, ...sorted.filter(isUnretired), ...sorted];
  return inOrder.find((kek) => kek.recovery !== null)?.recovery ?? undefined;
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
    {
      hint: `the recovery key of the ring has the fingerprint sha256:${pinned}; a new one takes its place by kleidi recovery replace, or, where it is lost, by kleidi key create --new-recovery`,
    },
  );
}
