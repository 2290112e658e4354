// Vouchers: a KEK that is made while another one is written with carries a CMAC under
// that one. Who has no KEK of the ring, recovery key and all, can make no KEK that a
// member of the ring takes in.
import { KleidiError } from '../errors.ts';
import { vouchPrefix } from '../providers/domainseparation.ts';
import { isSameKek } from '../providers/kekidentity.ts';
import type { Fingerprint, KekIdentity, VerifiedVoucher } from '../providers/provider.ts';
import { isUnretired, type Ring, type RingKek, writeKekOf } from './ring.ts';

export interface Voucher {
  /** Whose CMAC it is. */
  readonly by: Fingerprint;
  /** 32 hex digits, over `vouchText`. */
  readonly mac: string;
}

/** What is vouched for: the entry of the KEK in its ring, but its state. */
export interface Vouched extends KekIdentity {
  readonly created: string;
  /** Fingerprint of its recovery key, or null. */
  readonly recovery: string | null;
}

export function vouchText(ringId: string, { fp, check, created, recovery }: Vouched): string {
  return `${vouchPrefix}${JSON.stringify([ringId, fp, check, created, recovery])}`;
}

/** The KEK that vouches for the next one. Vault and a TPM vouch for none: no other member can test their word. */
export function vouchingKek(ring: Ring): RingKek | undefined {
  const kek = writeKekOf(ring);
  return kek?.provider === 'pkcs11' ? kek : undefined;
}

/**
 * Each of these KEKs is of this ring already, or a KEK of it has vouched for it, or for
 * one that has. Before the first promotion, and while a KEK in Vault or a TPM is written with, the
 * operator's word alone counts.
 * @param verified by the token of this host
 * @throws KleidiError refused
 */
export function requireVouched(
  ring: Ring,
  keks: readonly KekIdentity[],
  verified: readonly VerifiedVoucher[],
): void {
  if (vouchingKek(ring) === undefined) return;
  const trusted = trustedFrom(ring.keks.filter(isUnretired), verified);
  const stranger = keks.find((kek) => !isIn(trusted, kek) && !isIn(ring.keks, kek));
  if (stranger === undefined) return;
  throw new KleidiError(
    'refused',
    `KEK ${stranger.fp} is not taken: no KEK of this ring vouches for it; nothing was changed`,
    {
      hint: 'a KEK that key create makes is vouched for by the write KEK of the host that makes it: make a new one there',
    },
  );
}

/** Those, and what they vouch for, and so on. */
function trustedFrom(
  roots: readonly KekIdentity[],
  verified: readonly VerifiedVoucher[],
): readonly KekIdentity[] {
  const next = verified.filter(({ by, kek }) => isIn(roots, by) && !isIn(roots, kek));
  return next.length === 0
    ? roots
    : trustedFrom([...roots, ...next.map(({ kek }) => kek)], verified);
}

function isIn(keks: readonly KekIdentity[], kek: KekIdentity): boolean {
  return keks.some((each) => isSameKek(each, kek));
}
