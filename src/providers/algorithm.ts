// How the body of a ciphertext is sealed: one way for each provider, and the byte that
// names it in the envelope.
import type { ProviderKind, TokenKind } from './provider.ts';

interface Algorithm {
  /** `alg` in the envelope. */
  readonly alg: number;
  /** The ciphertext stays within the 1024 bytes that kube-apiserver takes. */
  readonly maxPlaintextBytes: number;
  /** Of one byte of plaintext. */
  readonly minBodyBytes: number;
}

const algorithms: Readonly<Record<ProviderKind, Algorithm>> = {
  /** AES-256-GCM: nonce, ciphertext and tag. */
  pkcs11: { alg: 0x01, maxPlaintextBytes: 900, minBodyBytes: 12 + 1 + 16 },
  /**
   * Transit's text, `vault:v1:` and the base64 of the same. With a key version of
   * 9 digits, 710 bytes are the most.
   */
  vault: { alg: 0x02, maxPlaintextBytes: 700, minBodyBytes: 9 + 40 },
  /** RSA-2048-OAEP with SHA-256, and an HMAC. */
  tpm: { alg: 0x03, maxPlaintextBytes: 256 - 2 - 2 * 32, minBodyBytes: 256 + 32 },
};

export const providerKinds = Object.keys(algorithms);

export const tokenKinds: readonly TokenKind[] = ['pkcs11', 'tpm'];

/** Longest plaintext of any provider. */
export const largestPlaintextBytes = Math.max(
  ...Object.values(algorithms).map(({ maxPlaintextBytes }) => maxPlaintextBytes),
);

/** What a provider of this kind seals by. */
export function algorithmOf(kind: ProviderKind): Algorithm {
  return algorithms[kind];
}

/** Undefined where this kleidi knows no such `alg`. */
export function algorithmNamed(alg: number): Algorithm | undefined {
  return Object.values(algorithms).find((each) => each.alg === alg);
}
