// What kleidi asks of whatever holds KEKs. Interfaces only; imports nothing.
// Every method rejects with KleidiError. Last what travels into a token and out of it:
// pkcs11/write/ makes and takes it, for the command line alone.

/** 16 bytes that identify KEK material, as 32 lower-case hex digits. */
export type Fingerprint = string;

/**
 * 16 more, as 32 lower-case hex digits. Who makes two keys can make their fingerprints
 * equal (2^64 work); fingerprint and check together commit to one key.
 */
export type KeyCheck = string;

/** What a KEK is, computed from its key. */
export interface KekIdentity {
  readonly fp: Fingerprint;
  readonly check: KeyCheck;
}

/** KEKs that a provider can use: the check of each, computed from the key itself. */
export type UsableKeks = ReadonlyMap<Fingerprint, KeyCheck>;

export type ProviderKind = TokenKind | 'vault';

/** Behind a PKCS#11 module: in the token, or in the TPM of this machine. */
export type TokenKind = 'pkcs11' | 'tpm';

/** How this host stands with the server behind a provider. Times are Unix times. */
export interface ServerStanding {
  /** The login: when it ends, and how long it was given for; undefined where it does not end. */
  readonly lease: { readonly endsUnixMs: number; readonly grantedMs: number } | undefined;
  /** Whether each breaker is open, by name. */
  readonly breakers: ReadonlyMap<string, boolean>;
  /** When each certificate in use ends, by name. */
  readonly certificates: ReadonlyMap<string, number>;
}

export interface Provider {
  readonly kind: ProviderKind;
  /** One line for people: module, version, token. */
  readonly description: string;
  /** Why it cannot be used right now, where it knows by itself: a KleidiError. */
  readonly failure?: Error | undefined;
  /** KEKs that are there and must not be used, each with the reason: a KleidiError. */
  readonly refusals?: ReadonlyMap<Fingerprint, Error>;
  /** What people should know, whole sentences. */
  readonly notices?: readonly string[];
  /** Where there is a server. From memory. */
  readonly server?: ServerStanding;

  /**
   * Looks for these KEKs again, recomputes fingerprint and check from the key
   * itself, and keeps those that match ready for use. Whether a check is the right
   * one, the ring says.
   */
  load(wanted: readonly Fingerprint[]): Promise<UsableKeks>;

  /** Seals as many bytes as its algorithm allows. The result is the envelope's body. */
  wrap(fp: Fingerprint, plaintext: Buffer, aad: Buffer): Promise<Buffer>;

  /** Opens what `wrap` made, or rejects with `ciphertext-invalid`. */
  unwrap(fp: Fingerprint, body: Buffer, aad: Buffer): Promise<Buffer>;

  /**
   * Wraps and unwraps a known value and recomputes fingerprint and check of every
   * loaded KEK. Rejects where a KEK cannot be used any more, or keeps that in
   * `failure`.
   * @param writeFp the KEK that is written with, where this provider holds it: it
   *   must be able to wrap; of the others nobody asks that
   */
  selfTest(writeFp?: Fingerprint): Promise<UsableKeks>;

  close(): Promise<void>;
}

/** What a KEK object is, as the provider itself tells it. */
export interface KekDescription extends KekIdentity {
  readonly label: string;
  /** Cannot be read out. */
  readonly sensitive: boolean;
  /** Can be wrapped out by another key. Must be false. */
  readonly extractable: boolean;
}

export type OaepHash = 'sha1' | 'sha256';

export interface WrappedNewKek extends KekIdentity {
  /** OAEP-wrapped KEK for each recipient, in their order. */
  readonly wrapped: readonly Buffer[];
  /** Hash inside OAEP; bundles name it. */
  readonly oaepHash: OaepHash;
}

export interface CreatedKek extends WrappedNewKek {
  /** AES-CMAC under the KEK over what the wish says of it, in hex. */
  readonly mac: string;
  /** The same under the KEK that vouches for it; null where none does. */
  readonly voucherMac: string | null;
}

export interface KekWish {
  readonly label: string;
  /** RSA public keys that it is wrapped for, as DER SPKI. */
  readonly recipients: readonly Buffer[];
  /** What to vouch for with the KEK itself. */
  macText(kek: WrappedNewKek): string;
  /** A KEK of this token that vouches for the new one. */
  readonly vouchedBy: KekIdentity | null;
  vouchText(kek: WrappedNewKek): string;
}

/** A KEK as it arrives from another host, or from the recovery key: what JSON keeps. */
export interface ArrivingKek extends KekIdentity {
  readonly oaepHash: OaepHash;
  /** `recipient`: SHA-256 of its SPKI, in hex; `wrapped`: base64. */
  readonly parts: readonly { readonly recipient: string; readonly wrapped: string }[];
  readonly macText: string;
  readonly mac: string;
  readonly vouchText: string;
  readonly vouchers: readonly { readonly by: Fingerprint; readonly mac: string }[];
}

/** A KEK of the token, or one that arrives, vouches for one that arrives. */
export interface VerifiedVoucher {
  readonly kek: KekIdentity;
  readonly by: KekIdentity;
}

export interface CheckedKeks {
  /** What the token lacks of them. */
  readonly missing: readonly Fingerprint[];
  readonly vouchers: readonly VerifiedVoucher[];
}

export interface ImportHooks {
  /** All is checked, nothing is kept yet: what this throws leaves the token unchanged. */
  beforePersist(checked: CheckedKeks): Promise<void>;
  /** All is kept; the transport key still lives, so that a killed command can go on. */
  beforeTransportKeyDestroyed(): Promise<void>;
}
