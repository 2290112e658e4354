// Opens the KEKs of a bundle with the recovery key, and wraps them for other
// hosts: node:crypto alone, no token. A KEK is in clear only for as long as one
// of these functions runs.
import { constants, createPublicKey, publicEncrypt } from 'node:crypto';
import { KleidiError } from '../errors.ts';
import {
  type BundleKek,
  type KeksOfRing,
  macText,
  partAlgs,
  recoveryContext,
  recoveryPart,
  type UnsignedKek,
  vouchedOf,
  type WrappedKek,
} from './bundle.ts';
import { aesCmac, identityOfKek } from './cmac.ts';
import { type HybridPrivateKey, type HybridPublicKey, open, seal } from './hybrid.ts';
import type { PublicKey } from './publickey.ts';
import type { RingName } from './ringid.ts';
import { type Voucher, vouchText } from './voucher.ts';

const padding = constants.RSA_PKCS1_OAEP_PADDING;
const kekBytes = 32;

/**
 * Proves that the recovery key opens this KEK, that it is the one with this
 * fingerprint, and that the bundle tells the truth of it.
 * @param others whose vouchers by this KEK must be right too
 * @throws KleidiError refused
 */
export function testKek(
  ring: RingName,
  kek: BundleKek,
  key: HybridPrivateKey,
  others: readonly BundleKek[] = [],
): void {
  withKek(ring, kek, key, (material) => {
    for (const other of others) requireVoucher(ring, kek, material, other);
  });
}

/**
 * The same KEK for these hosts, and still for the recovery key.
 * @param others whose vouchers by this KEK must be right
 * @throws KleidiError refused
 */
export function rewrapKek(
  ring: RingName,
  kek: BundleKek,
  key: HybridPrivateKey,
  hosts: readonly PublicKey[],
  others: readonly BundleKek[] = [],
): BundleKek {
  return withKek(ring, kek, key, (material, part) => {
    for (const other of others) requireVoucher(ring, kek, material, other);
    const parts = hosts.map((host) => wrapFor(host, material, kek.oaepHash));
    return { ...kek, recipients: [part, ...parts] };
  });
}

/**
 * The same KEKs for another recovery key, and vouched for as before, as far as the KEKs
 * that vouch are among them or among `others`.
 * @param others opened only for their vouchers
 * @throws KleidiError refused
 */
export function replaceRecovery(
  { keks, ...ring }: KeksOfRing,
  others: readonly BundleKek[],
  from: HybridPrivateKey,
  to: HybridPublicKey,
): readonly BundleKek[] {
  const vouchers = new Map(keks.map((kek) => [kek.fp, [] as Voucher[]]));
  const renewed = keks.map((kek) =>
    withKek(ring, kek, from, (material) => signed(ring, forRecovery(kek, to, material), material)),
  );
  for (const by of [...keks, ...others]) {
    withKek(ring, by, from, (material) => {
      keks.forEach((kek, i) => {
        const now = renewed[i];
        if (now === undefined || !kek.vouchers.some((each) => each.by === by.fp)) return;
        requireVoucher(ring, by, material, kek);
        const text = Buffer.from(vouchText(ring.ringId, vouchedOf(now)));
        vouchers.get(kek.fp)?.push({ by: by.fp, mac: aesCmac(material, text).toString('hex') });
      });
    });
  }
  return renewed.map((kek) => ({ ...kek, vouchers: vouchers.get(kek.fp) ?? [] }));
}

function forRecovery(kek: BundleKek, to: HybridPublicKey, material: Buffer): UnsignedKek {
  const { fp, check, created, oaepHash } = kek;
  const wrapped = seal(material, to, recoveryContext(fp), { oaepHash }).toString('base64');
  const part = {
    recipient: to.fingerprint,
    role: 'recovery',
    alg: partAlgs.recovery,
    wrapped,
  } as const;
  return { fp, check, created, oaepHash, recipients: [part] };
}

function signed(ring: RingName, kek: UnsignedKek, material: Buffer): BundleKek {
  const mac = aesCmac(material, Buffer.from(macText(ring, kek))).toString('hex');
  return { ...kek, mac, vouchers: [] };
}

function withKek<T>(
  ring: RingName,
  kek: BundleKek,
  key: HybridPrivateKey,
  work: (material: Buffer, part: WrappedKek) => T,
): T {
  const part = recoveryPart(kek);
  if (part === undefined) throw refused(kek, 'it was made without a recovery key');
  if (part.recipient !== key.fingerprint) {
    throw refused(kek, `it is wrapped for recovery key sha256:${part.recipient}`);
  }
  const material = unwrap(kek, part, key);
  try {
    requireSame(ring, kek, material);
    return work(material, part);
  } finally {
    material.fill(0);
  }
}

function unwrap(kek: BundleKek, part: WrappedKek, key: HybridPrivateKey): Buffer {
  const wrapped = Buffer.from(part.wrapped, 'base64');
  try {
    return open(wrapped, key, recoveryContext(kek.fp), { oaepHash: kek.oaepHash });
  } catch (cause) {
    throw refused(kek, 'its wrapped part cannot be opened', cause);
  }
}

function requireSame(ring: RingName, kek: BundleKek, material: Buffer): void {
  if (material.length !== kekBytes) throw refused(kek, 'the key inside is another one');
  const { fp, check } = identityOfKek(material);
  if (fp !== kek.fp || check !== kek.check) throw refused(kek, 'the key inside is another one');
  if (aesCmac(material, Buffer.from(macText(ring, kek))).toString('hex') !== kek.mac) {
    throw refused(kek, 'what the bundle says of it was changed');
  }
}

function requireVoucher(
  { ringId }: RingName,
  by: BundleKek,
  material: Buffer,
  other: BundleKek,
): void {
  const voucher = other.vouchers.find((each) => each.by === by.fp);
  if (voucher === undefined) return;
  const text = Buffer.from(vouchText(ringId, vouchedOf(other)));
  if (aesCmac(material, text).toString('hex') === voucher.mac) return;
  throw new KleidiError('refused', `the voucher of KEK ${by.fp} for KEK ${other.fp} is false`, {
    hint: `do not use KEK ${other.fp} before you know who has made its bundle`,
  });
}

function wrapFor(host: PublicKey, material: Buffer, oaepHash: 'sha1' | 'sha256'): WrappedKek {
  const key = createPublicKey({ key: host.spki, format: 'der', type: 'spki' });
  const wrapped = publicEncrypt({ key, padding, oaepHash }, material).toString('base64');
  return { recipient: host.recipient, role: 'host', alg: partAlgs.host, wrapped };
}

function refused(kek: BundleKek, why: string, cause?: unknown): KleidiError {
  return new KleidiError('refused', `KEK ${kek.fp} cannot be recovered from this bundle: ${why}`, {
    hint: 'take the file from another host (bundles/ beside its ring) or from a backup, and the recovery key with the right fingerprint',
    cause,
  });
}
