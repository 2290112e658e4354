// A bundle: KEKs on the move, each wrapped with RSA-OAEP for recipients that
// are known by the SHA-256 of their public keys. Holds nothing secret in clear.
// Two things guard it: a SHA-256 over all of it, against damage; and for each
// KEK a CMAC under that KEK, against whoever does not hold it.
import { createHash } from 'node:crypto';
import { bundleKekPrefix } from '../providers/mactexts.ts';
import type { Fingerprint } from '../providers/provider.ts';

export interface WrappedKek {
  /** SHA-256 of the recipient's SPKI. */
  readonly recipient: string;
  readonly role: 'recovery' | 'host';
  /** base64 */
  readonly wrapped: string;
}

/** What is known of a KEK on the move before its CMAC. */
export interface UnsignedKek {
  readonly fp: Fingerprint;
  readonly created: string;
  readonly oaepHash: 'sha1' | 'sha256';
  readonly recipients: readonly WrappedKek[];
}

export interface BundleKek extends UnsignedKek {
  /** AES-CMAC under the KEK over `macText`, 32 hex digits. */
  readonly mac: string;
}

export interface Bundle {
  readonly format: 1;
  readonly kind: 'kleidi-bundle';
  readonly ring: string;
  readonly keks: readonly BundleKek[];
}

export function formatBundle(ring: string, keks: readonly BundleKek[]): string {
  const bundle = ordered({ format: 1, kind: 'kleidi-bundle', ring, keks });
  return `${JSON.stringify({ ...bundle, sha256: bundleSha256(bundle) }, null, 2)}\n`;
}

export function bundleSha256(bundle: Bundle): string {
  return createHash('sha256')
    .update(JSON.stringify(ordered(bundle)))
    .digest('hex');
}

export function recoveryPart(kek: UnsignedKek): WrappedKek | undefined {
  return kek.recipients.find(({ role }) => role === 'recovery');
}

/**
 * What the CMAC vouches for: ring, age and recovery of the KEK. Not the parts
 * for hosts, which a rewrap replaces, and which prove themselves by the fingerprint.
 */
export function macText(ring: string, kek: UnsignedKek): string {
  const { fp, created, oaepHash } = kek;
  const { recipient = null, wrapped = null } = recoveryPart(kek) ?? {};
  return `${bundleKekPrefix}${JSON.stringify([ring, fp, created, oaepHash, recipient, wrapped])}`;
}

/** A bundle of this KEK for its recovery key alone, or undefined where it has none. */
export function formatRecoveryBundle(ring: string, kek: BundleKek): string | undefined {
  const part = recoveryPart(kek);
  return part && formatBundle(ring, [{ ...kek, recipients: [part] }]);
}

/** Fields in one order, so that the same bundle has the same text. */
function ordered({ format, kind, ring, keks }: Bundle): Bundle {
  return { format, kind, ring, keks: keks.map(orderedKek) };
}

function orderedKek({ fp, created, oaepHash, recipients, mac }: BundleKek): BundleKek {
  const parts = recipients.map(({ recipient, role, wrapped }) => ({ recipient, role, wrapped }));
  return { fp, created, oaepHash, recipients: parts, mac };
}
