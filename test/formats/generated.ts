// Random rings and bundles, made by kleidi's own steps from a fixed seed.
import fc from 'fast-check';
import {
  type BundleKek,
  formatBundle,
  macText,
  partAlgs,
  type UnsignedKek,
  vouchedOf,
  type WrappedKek,
} from '../../src/keyring/bundle.ts';
import { aesCmac, identityOfKek } from '../../src/keyring/cmac.ts';
import { outerBytes } from '../../src/keyring/hybrid.ts';
import { emptyRing, isUnretired, type Ring } from '../../src/keyring/ring.ts';
import type { RingName } from '../../src/keyring/ringid.ts';
import { destroy, promote, retire, stage, unretire } from '../../src/keyring/transitions.ts';
import { vouchText } from '../../src/keyring/voucher.ts';

export const seed = 0x6b6c0102;

export interface Made {
  readonly ring: Ring;
  /** Text of a bundle of this ring. */
  readonly bundle: string;
  /** The KEKs of both, in hex. */
  readonly materials: readonly string[];
}

const hexOf = (bytes: number) =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((array) => Buffer.from(array).toString('hex'));
const ringName = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const created = fc
  .date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
  .chain((time) => fc.constantFrom(time.toISOString(), `${time.toISOString().slice(0, 19)}Z`));
const partOf = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes });
const hostPart = fc.record({
  recipient: hexOf(32),
  bytes: fc.constantFrom(384, 385).chain(partOf),
});

const kekPlan = fc.record({
  material: hexOf(32),
  created,
  oaepHash: fc.constantFrom('sha1' as const, 'sha256' as const),
  isVault: fc.boolean(),
  hasRecovery: fc.boolean(),
  recoveryBytes: partOf(outerBytes + 384),
  hosts: fc.array(hostPart, { maxLength: 2 }),
  vouchedBy: fc.nat(),
  steps: fc.nat({ max: 6 }),
});
type KekPlan = typeof kekPlan extends fc.Arbitrary<infer T> ? T : never;

const plan = fc.record({
  name: ringName,
  ringId: hexOf(16),
  recovery: hexOf(32),
  rise: fc.integer({ min: 1, max: 1e6 }),
  isCarried: fc.boolean(),
  keks: fc.uniqueArray(kekPlan, {
    minLength: 1,
    maxLength: 4,
    selector: ({ material }) => material,
  }),
});
type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never;

export function madeOf(count: number): readonly Made[] {
  return fc.sample(fc.noBias(plan.map(made)), { seed, numRuns: count });
}

function made(wish: Plan): Made {
  const { name, ringId, keks, isCarried } = wish;
  const ring = ringOf(wish);
  const named = { ring: name, ringId };
  // Where a ring is carried, the bundle has what it may have, or the first as another bundle would.
  const fit = keks.filter((kek) => isFit(ring, kek));
  const bundled = isCarried && fit.length > 0 ? fit : keks;
  const signed = bundled.map((kek) => signedKek(named, wish, kek));
  const carried = bundled === fit ? ring : null;
  const materials = keks.map(({ material }) => material);
  return { ring, bundle: formatBundle(named, signed, carried), materials };
}

function ringOf({ name, ringId, recovery, rise, keks }: Plan): Ring {
  let ring = emptyRing(name);
  for (const { material, isVault, hasRecovery, ...kek } of keks) {
    const identity = identityOfKek(Buffer.from(material, 'hex'));
    const entry = {
      ...identity,
      created: kek.created,
      provider: isVault ? ('vault' as const) : ('pkcs11' as const),
      recovery: hasRecovery ? recovery : null,
    };
    ring = moved(stage(ring, entry, ringId), identity.fp, kek.steps, rise);
  }
  return ring;
}

/** A KEK as far along as this says. */
function moved(ring: Ring, fp: string, steps: number, rise: number): Ring {
  const isFirst = ring.generation === 0;
  // A ring may be at any generation; a single promotion goes no further than 1,000.
  if (isFirst || steps === 1) {
    return { ...promote(ring, fp, ring.generation + 1), generation: ring.generation + rise };
  }
  if (steps < 3) return ring;
  const retired = retire(ring, fp);
  if (steps === 3) return unretire(retired, fp);
  return steps === 4 ? retired : destroy(retired, fp);
}

function isFit(ring: Ring, { material }: KekPlan): boolean {
  const { fp } = identityOfKek(Buffer.from(material, 'hex'));
  const entry = ring.keks.find((kek) => kek.fp === fp);
  return entry !== undefined && entry.provider === 'pkcs11' && isUnretired(entry);
}

function signedKek(named: RingName, { recovery, keks }: Plan, kek: KekPlan): BundleKek {
  const material = Buffer.from(kek.material, 'hex');
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const own: WrappedKek = {
    ...{ recipient: recovery, role: 'recovery', alg: partAlgs.recovery },
    wrapped: base64(kek.recoveryBytes),
  };
  const hosts = kek.hosts.map(
    ({ recipient, bytes }): WrappedKek => ({
      ...{ recipient, role: 'host', alg: partAlgs.host, wrapped: base64(bytes) },
    }),
  );
  const unsigned: UnsignedKek = {
    ...identityOfKek(material),
    ...{ created: kek.created, oaepHash: kek.oaepHash },
    recipients: [...(kek.hasRecovery ? [own] : []), ...hosts],
  };
  const by = Buffer.from(keks[kek.vouchedBy % keks.length]?.material ?? '', 'hex');
  const cmac = (key: Buffer, text: string): string =>
    aesCmac(key, Buffer.from(text)).toString('hex');
  const voucher = {
    by: identityOfKek(by).fp,
    mac: cmac(by, vouchText(named.ringId, vouchedOf(unsigned))),
  };
  const mac = cmac(material, macText(named, unsigned));
  return { ...unsigned, mac, vouchers: kek.vouchedBy % 3 === 0 ? [] : [voucher] };
}
