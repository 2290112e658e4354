// A recovery key and bundles for it, made without a token.
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { type BundleKek, macText, type UnsignedKek } from '../../src/keyring/bundle.ts';
import { aesCmac, fingerprintOfKek } from '../../src/keyring/cmac.ts';
import type { PublicKey } from '../../src/keyring/publickey.ts';

export const passphrase = 'six random words to test with';

export interface KnownKek extends BundleKek {
  readonly material: Buffer;
}

export function wrapFor({ spki }: PublicKey, material: Buffer): string {
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return publicEncrypt({ key, padding, oaepHash: 'sha1' }, material).toString('base64');
}

/** A KEK whose bytes the caller knows: what an attacker could make. */
export function knownKek(
  ring: string,
  recovery: PublicKey | undefined,
  hosts: readonly PublicKey[],
  claimed: Partial<BundleKek> = {},
  material: Buffer = randomBytes(32),
): KnownKek {
  const part = (key: PublicKey, role: 'recovery' | 'host') => ({
    recipient: key.recipient,
    role,
    wrapped: wrapFor(key, material),
  });
  const unsigned: UnsignedKek = {
    fp: fingerprintOfKek(material),
    created: '2026-01-02T03:04:05.678Z',
    oaepHash: 'sha1',
    recipients: [
      ...(recovery === undefined ? [] : [part(recovery, 'recovery')]),
      ...hosts.map((host) => part(host, 'host')),
    ],
    ...claimed,
  };
  const mac = aesCmac(material, Buffer.from(macText(ring, unsigned))).toString('hex');
  return { ...unsigned, mac, material };
}
