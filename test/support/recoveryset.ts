// Recovery keys and bundles for them, made without a token.
import {
  constants,
  createPublicKey,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { writeFileSync } from 'node:fs';
import {
  type BundleKek,
  macText,
  partAlgs,
  recoveryContext,
  type UnsignedKek,
  vouchedOf,
  type WrappedKek,
} from '../../src/keyring/bundle.ts';
import { aesCmac, identityOfKek } from '../../src/keyring/cmac.ts';
import {
  type HybridPrivateKey,
  type HybridPublicKey,
  hybridOf,
  seal,
} from '../../src/keyring/hybrid.ts';
import type { PublicKey } from '../../src/keyring/publickey.ts';
import { formatRecoveryKey } from '../../src/keyring/recoverypublickey.ts';
import type { RingName } from '../../src/keyring/ringid.ts';
import { vouchText } from '../../src/keyring/voucher.ts';

export const passphrase = 'six random words to test with';

/** A ring of this name, and of no host. */
export const named = (ring: string): RingName => ({ ring, ringId: '5e'.repeat(16) });

/** Both private keys, without the time that a passphrase takes. */
export function newHybridKey(): HybridPrivateKey {
  const { privateKey: rsaPrivate } = generateKeyPairSync('rsa', { modulusLength: 4096 });
  const { privateKey: kemPrivate } = generateKeyPairSync('ml-kem-1024');
  return { ...hybridOf(rsaPrivate, kemPrivate), rsaPrivate, kemPrivate };
}

/** @returns FILE=SHA256, as --recovery takes it */
export function writePublic(path: string, key: HybridPublicKey): string {
  writeFileSync(path, formatRecoveryKey(key));
  return `${path}=${key.fingerprint}`;
}

export interface KnownKek extends BundleKek {
  readonly material: Buffer;
}

export function wrapFor({ spki }: PublicKey, material: Buffer): string {
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return publicEncrypt({ key, padding, oaepHash: 'sha1' }, material).toString('base64');
}

/** As key create makes it: `by` vouches for the other. */
export function vouched(ring: RingName, by: KnownKek, kek: KnownKek): KnownKek {
  const text = Buffer.from(vouchText(ring.ringId, vouchedOf(kek)));
  const mac = aesCmac(by.material, text).toString('hex');
  return { ...kek, vouchers: [...kek.vouchers, { by: by.fp, mac }] };
}

/** A KEK whose bytes the caller knows: what an attacker could make. */
export function knownKek(
  ring: RingName,
  recovery: HybridPublicKey | undefined,
  hosts: readonly PublicKey[],
  claimed: Partial<BundleKek> = {},
  material: Buffer = randomBytes(32),
): KnownKek {
  const { fp, check } = identityOfKek(material);
  const unsigned: UnsignedKek = {
    ...{ fp, check },
    created: '2026-01-02T03:04:05.678Z',
    oaepHash: 'sha1',
    recipients: [
      ...(recovery === undefined ? [] : [recoveryPartFor(recovery, claimed.fp ?? fp, material)]),
      ...hosts.map((host) => hostPartFor(host, material)),
    ],
    ...claimed,
  };
  const mac = aesCmac(material, Buffer.from(macText(ring, unsigned))).toString('hex');
  return { ...unsigned, mac, vouchers: claimed.vouchers ?? [], material };
}

export function recoveryPartFor(key: HybridPublicKey, fp: string, material: Buffer): WrappedKek {
  const sealed = seal(material, key, recoveryContext(fp), { oaepHash: 'sha1' });
  return {
    ...{ recipient: key.fingerprint, role: 'recovery', alg: partAlgs.recovery },
    wrapped: sealed.toString('base64'),
  };
}

function hostPartFor(host: PublicKey, material: Buffer): WrappedKek {
  const wrapped = wrapFor(host, material);
  return { recipient: host.recipient, role: 'host', alg: partAlgs.host, wrapped };
}
