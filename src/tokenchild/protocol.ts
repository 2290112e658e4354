// What a command and the child that owns the token say to each other: JSON lines, a
// request first, then by the kind of its job. Both sides take their types from here.
import { createInterface } from 'node:readline';
import type { RingName } from '../keyring/ringid.ts';
import type { PinUser } from '../providers/pkcs11/refusedpin.ts';
import type { Pkcs11Settings } from '../providers/pkcs11/settings.ts';
import type { ArrivingKek, Fingerprint, KekIdentity } from '../providers/provider.ts';

export type TokenJob =
  | { readonly kind: 'initialize'; readonly soPin: string }
  | { readonly kind: 'list' }
  | CreateJob
  | { readonly kind: 'request'; readonly renew: boolean }
  | {
      readonly kind: 'import';
      readonly ring: string;
      readonly keks: readonly ArrivingKek[];
    }
  | { readonly kind: 'destroy'; readonly fp: Fingerprint }
  /** One try with the PIN of the request, whosever that is here. */
  | { readonly kind: 'try-pin'; readonly who: PinUser }
  /** The PIN of the request is the old one, `pin` the new one. Begins once the parent agrees. */
  | { readonly kind: 'change-pin'; readonly who: PinUser; readonly pin: string }
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

/** The child has done its job, or the part of it that the parent waits for. */
export const done = { done: true } as const;

/** The parent has stored what the child waits for; the end of the pipe means that it has not. */
export const goOn = { goOn: true } as const;

export function isGoOn(message: Readonly<Record<string, unknown>>): boolean {
  return message['goOn'] === true;
}

/** Of the objects that a KEK is in the token. */
export function kekLabel(ring: string): string {
  return `kleidi ${ring}`;
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
