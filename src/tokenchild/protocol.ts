// What a command and the child that owns the token say to each other: JSON lines, a
// request first, then by the kind of its job. Both sides take their types from here.
import { createInterface } from 'node:readline';
import type { BundleKek } from '../keyring/bundle.ts';
import type { RingName } from '../keyring/ringid.ts';
import type { Pkcs11Settings } from '../providers/pkcs11/settings.ts';
import type { Fingerprint, KekIdentity, VerifiedVoucher } from '../providers/provider.ts';

export type TokenJob =
  | { readonly kind: 'initialize'; readonly soPin: string }
  | { readonly kind: 'list' }
  | CreateJob
  | { readonly kind: 'request'; readonly renew: boolean }
  | ({ readonly kind: 'import'; readonly keks: readonly BundleKek[] } & RingName)
  | { readonly kind: 'destroy'; readonly fp: Fingerprint }
  /** The seeds follow, one a line. */
  | { readonly kind: 'open'; readonly keks: readonly KekIdentity[] };

export interface TokenRequest {
  readonly settings: Pkcs11Settings;
  readonly pin: string;
  readonly job: TokenJob;
}

/** SPKIs in base64; of the recovery key both. */
export type NewKekRecipient =
  | { readonly role: 'recovery'; readonly spki: string; readonly kem: string }
  | { readonly role: 'host'; readonly spki: string };

export interface CreateJob extends RingName {
  readonly kind: 'create';
  readonly created: string;
  readonly recipients: readonly NewKekRecipient[];
  readonly vouchedBy: KekIdentity | null;
}

export interface SealedSeed {
  /** base64 */
  readonly source: string;
  readonly keyId: string;
  readonly sourceType: number;
  readonly object: { readonly key: string; readonly data: string } | undefined;
}

export interface SeedAnswer {
  readonly hasOpenedObject: boolean;
  /** Why it did not open. */
  readonly why?: string;
}

/** What the child has checked of KEKs that arrive; nothing is in the token yet. */
export interface CheckedKeks {
  readonly missing: readonly Fingerprint[];
  readonly vouchers: readonly VerifiedVoucher[];
}

/** Tells the parent, and waits until it agrees. */
export type Agree = (message: object) => Promise<void>;

/** What the parent says, until it closes the pipe. */
export type Lines = AsyncGenerator<Record<string, unknown>, Record<string, unknown>>;

export async function* readLines(): Lines {
  for await (const line of createInterface({ input: process.stdin })) {
    yield JSON.parse(line) as Record<string, unknown>;
  }
  return {};
}
