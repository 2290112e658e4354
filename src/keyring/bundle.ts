// A bundle: KEKs on the move, each wrapped with RSA-OAEP for recipients that
// are known by the SHA-256 of their public keys. Holds nothing secret in clear.
import type { Fingerprint } from '../providers/provider.ts';

export interface WrappedKek {
  /** SHA-256 of the recipient's SPKI. */
  readonly recipient: string;
  readonly role: 'recovery' | 'host';
  /** base64 */
  readonly wrapped: string;
}

export interface BundleKek {
  readonly fp: Fingerprint;
  readonly created: string;
  readonly oaepHash: 'sha1' | 'sha256';
  readonly recipients: readonly WrappedKek[];
}

export interface Bundle {
  readonly format: 1;
  readonly kind: 'kleidi-bundle';
  readonly ring: string;
  readonly keks: readonly BundleKek[];
}

export function formatBundle(ring: string, keks: readonly BundleKek[]): string {
  const bundle: Bundle = { format: 1, kind: 'kleidi-bundle', ring, keks };
  return `${JSON.stringify(bundle, null, 2)}\n`;
}
