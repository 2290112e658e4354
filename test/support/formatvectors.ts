// test/vectors/formats-v2.json, made by make-formats-v2.py beside it.
import { readFileSync } from 'node:fs';

export interface FormatVectors {
  readonly identities: readonly Record<'kek' | 'fp' | 'check', string>[];
  readonly ringIds: readonly Record<'fp' | 'check' | 'ringId', string>[];
  readonly ring: Readonly<Record<'text' | 'digest' | 'openableDigest', string>>;
  readonly request: Readonly<Record<'text' | 'fingerprint' | 'recipient', string>>;
  /** PKCS#8, base64. */
  readonly hostPrivate: string;
  readonly recovery: Readonly<
    Record<'id' | 'passphrase' | 'rsaPrivate' | 'kemSeed' | 'privateFile' | 'publicFile', string>
  >;
  readonly bundle: Readonly<Record<'text' | 'recoveryText', string>>;
  readonly pin: Readonly<Record<'text' | 'pin', string>>;
  readonly backup: Readonly<Record<'text', string>>;
}

export function formatVectors(): FormatVectors {
  const file = new URL('../vectors/formats-v2.json', import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as FormatVectors;
}
