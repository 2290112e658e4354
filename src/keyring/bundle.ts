// A bundle: KEKs on the move, each wrapped for recipients that are known by the
// SHA-256 of their public keys: for hosts with RSA-OAEP, for the recovery key with
// ML-KEM around that (hybrid.ts). Holds nothing secret in clear.
// Two things guard it: a SHA-256 over all of it, against damage; and for each
// KEK a CMAC under that KEK, against whoever does not hold it.
import { createHash } from 'node:crypto';
import { bundleKekPrefix, recoveryKekPrefix } from '../providers/domainseparation.ts';
import type { Fingerprint, KekIdentity } from '../providers/provider.ts';
import { hybridAlg } from './hybrid.ts';
import type { Ring, RingKek } from './ring.ts';
import type { RingName } from './ringid.ts';
import type { Vouched, Voucher } from './voucher.ts';

export type PartRole = 'recovery' | 'host';

/** How a part is wrapped: one way for each role, so that none can be made weaker. */
export const partAlgs = { host: 'rsa-oaep', recovery: hybridAlg } as const;

export interface WrappedKek {
  /** Of a host SHA-256 of its SPKI, of the recovery key its fingerprint. */
  readonly recipient: string;
  readonly role: PartRole;
  readonly alg: (typeof partAlgs)[PartRole];
  /** base64 */
  readonly wrapped: string;
}

/** What is known of a KEK on the move before its CMAC. */
export interface UnsignedKek extends KekIdentity {
  readonly created: string;
  readonly oaepHash: 'sha1' | 'sha256';
  readonly recipients: readonly WrappedKek[];
}

export interface BundleKek extends UnsignedKek {
  /** AES-CMAC under the KEK over `macText`, 32 hex digits. */
  readonly mac: string;
  readonly vouchers: readonly Voucher[];
}

export interface KeksOfRing extends RingName {
  readonly keks: readonly BundleKek[];
}

export interface Bundle extends KeksOfRing {
  readonly format: 2;
  readonly kind: 'kleidi-bundle';
  /** What a member has after `kleidi join`; null in what is kept for the recovery key. */
  readonly carried: Ring | null;
}

export function formatBundle(
  { ring, ringId }: RingName,
  keks: readonly BundleKek[],
  carried: Ring | null = null,
): string {
  const bundle = ordered({ format: 2, kind: 'kleidi-bundle', ring, ringId, keks, carried });
  return `${JSON.stringify({ ...bundle, sha256: bundleSha256(bundle) }, null, 2)}\n`;
}

export function bundleSha256(bundle: Bundle): string {
  return createHash('sha256')
    .update(JSON.stringify(ordered(bundle)))
    .digest('hex');
}

/** What is said of the KEK in a ring. */
export function vouchedOf(kek: UnsignedKek): Vouched {
  const { fp, check, created } = kek;
  return { fp, check, created, recovery: recoveryPart(kek)?.recipient ?? null };
}

export function recoveryPart(kek: UnsignedKek): WrappedKek | undefined {
  return kek.recipients.find(({ role }) => role === 'recovery');
}

/**
 * What the CMAC vouches for: ring, age and recovery of the KEK. Not the parts
 * for hosts, which a rewrap replaces, and which prove themselves by the fingerprint;
 * their alg can be one only.
 */
export function macText({ ring, ringId }: RingName, kek: UnsignedKek): string {
  const { fp, check, created, oaepHash } = kek;
  const { recipient = null, alg = null, wrapped = null } = recoveryPart(kek) ?? {};
  const said = [ring, ringId, fp, check, created, oaepHash, recipient, alg, wrapped];
  return `${bundleKekPrefix}${JSON.stringify(said)}`;
}

/** What the outer layer of a recovery part is bound to: it opens as no other KEK's. */
export function recoveryContext(fp: Fingerprint): string {
  return `${recoveryKekPrefix}${fp}`;
}

/** A bundle of this KEK for its recovery key alone, or undefined where it has none. */
export function formatRecoveryBundle(ring: RingName, kek: BundleKek): string | undefined {
  const part = recoveryPart(kek);
  return part && formatBundle(ring, [{ ...kek, recipients: [part] }]);
}

/** Fields in one order, so that the same bundle has the same text. */
function ordered({ format, kind, ring, ringId, keks, carried }: Bundle): Bundle {
  const inOrder = { format, kind, ring, ringId, keks: keks.map(orderedKek) };
  return { ...inOrder, carried: carried && orderedRing(carried) };
}

export function orderedRing({ format, ring, ringId, generation, keks }: Ring): Ring {
  return { format, ring, ringId, generation, keks: keks.map(orderedEntry) };
}

function orderedEntry({ fp, check, state, provider, recovery, created }: RingKek): RingKek {
  return { fp, check, state, provider, recovery, created };
}

function orderedKek(kek: BundleKek): BundleKek {
  const { fp, check, created, oaepHash, recipients, mac, vouchers } = kek;
  const parts = recipients.map(({ recipient, role, alg, wrapped }) => ({
    ...{ recipient, role, alg, wrapped },
  }));
  const by = vouchers.map((voucher) => ({ by: voucher.by, mac: voucher.mac }));
  return { fp, check, created, oaepHash, recipients: parts, mac, vouchers: by };
}
