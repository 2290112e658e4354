// How the keys of a token are KEKs: what a KEK is there, and how it seals. One scheme for
// tokens that keep AES keys (aeskek.ts), one for a TPM, which keeps none (tpmkek.ts).
import type pkcs11js from 'pkcs11js';
import type { KekIdentity } from '../provider.ts';
import type { Handle } from './module.ts';
import type { NonceSource } from './nonces.ts';
import type { NamedMechanism } from './slot.ts';
import type { Token } from './token.ts';

/** Plain data: it goes to other threads. */
export interface FoundKek extends KekIdentity {
  /** Of the AES key, or of the private RSA key. */
  readonly handle: Handle;
  /** Of a TPM only. */
  readonly partner?: {
    readonly hmac: Handle;
    /** The public RSA key, DER. Fingerprint and check cover it. */
    readonly spki: Buffer;
  };
}

export interface Findings {
  readonly keks: readonly FoundKek[];
  /** Keys whose fingerprint cannot be computed: damaged, or left half made. */
  readonly unusable: readonly Handle[];
}

export interface KeyCall {
  readonly api: pkcs11js.PKCS11;
  readonly session: Handle;
  readonly kek: FoundKek;
}

/** Each throws what pkcs11js threw, and KleidiError; the caller drops the session then. */
export interface KeyScheme {
  readonly mechanisms: readonly NamedMechanism[];
  find(token: Token): Findings;
  /** Where a found KEK is used best: a copy in memory, or as it is. */
  atItsBest(token: Token, kek: FoundKek): FoundKek;
  /** Computed from the key itself. */
  identify(call: KeyCall): KekIdentity;
  seal(call: KeyCall, nonces: NonceSource, plaintext: Buffer, aad: Buffer): Buffer;
  unseal(call: KeyCall, body: Buffer, aad: Buffer): Buffer;
}
