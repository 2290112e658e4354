// Reads bundles from disk: anything but exactly what kleidi writes is refused,
// one flipped bit included.
import { KleidiError } from '../errors.ts';
import { isHex, isRecord, recordIn } from '../jsonvalue.ts';
import { isSameKek } from '../providers/kekidentity.ts';
import { rsaBits } from '../providers/rsakey.ts';
import { readTextFile } from '../readfile.ts';
import {
  type Bundle,
  type BundleKek,
  bundleSha256,
  type PartRole,
  partAlgs,
  vouchedOf,
} from './bundle.ts';
import { outerBytes } from './hybrid.ts';
import { isRingName } from './keyid.ts';
import { isTime, isUnretired, type Ring, type RingKek, ringFaults } from './ring.ts';
import type { Voucher } from './voucher.ts';

/** @throws KleidiError file-failed, refused */
export async function readBundle(path: string): Promise<Bundle> {
  const hint = 'name a file that was made by kleidi key create --out or recovery rewrap';
  return parseBundle(await readTextFile(path, `bundle ${path}`, hint), path);
}

/** @throws KleidiError refused */
export function parseBundle(text: string, path: string): Bundle {
  const file = recordIn(text);
  const fault = bundleFault(file);
  if (fault !== undefined) {
    throw new KleidiError('refused', `${path} is not a whole kleidi bundle: ${fault}`, {
      hint: 'it was damaged or changed on its way: fetch it again from where it was made',
    });
  }
  const { format, kind, ring, ringId, keks, carried } = file as unknown as Bundle;
  return { format, kind, ring, ringId, keks, carried };
}

function bundleFault(value: Record<string, unknown> | undefined): string | undefined {
  if (value === undefined) return 'it is not a JSON object';
  const { format, kind, ring, ringId, keks, carried, sha256, ...rest } = value;
  if (kind !== 'kleidi-bundle') return 'its kind is not kleidi-bundle';
  if (format !== 2) return 'this kleidi reads format 2';
  if (typeof ring !== 'string' || !isRingName(ring)) return 'its ring is not a name';
  if (!isHex(ringId, 32)) return 'its ringId is not 32 hex digits';
  if (!Array.isArray(keks) || keks.length === 0) return 'it holds no KEK';
  if (Object.keys(rest).length > 0) return 'it has fields that are unknown';
  const bad = keks.findIndex((kek: unknown) => !isKek(kek));
  if (bad !== -1) return `keks[${bad}] is not as it must be`;
  const bundle = value as unknown as Bundle;
  if (!isDistinct(bundle.keks.map(({ fp }) => fp))) return 'a KEK is in it twice';
  const fault = carried === null ? undefined : carriedFault(bundle, carried);
  if (fault !== undefined) return fault;
  if (sha256 !== bundleSha256(bundle)) return 'its sha256 is not the one of its contents';
  return undefined;
}

function isKek(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { fp, check, created, oaepHash, recipients, mac, vouchers, ...rest } = value;
  if (!isHex(fp, 32) || !isHex(check, 32) || !isHex(mac, 32) || Object.keys(rest).length > 0)
    return false;
  if (!isTime(created)) return false;
  if (oaepHash !== 'sha1' && oaepHash !== 'sha256') return false;
  if (!Array.isArray(recipients) || !recipients.every(isPart)) return false;
  if (!Array.isArray(vouchers) || !vouchers.every(isVoucher)) return false;
  const names = recipients.map(({ recipient }) => recipient as string);
  const recoveries = recipients.filter(({ role }) => role === 'recovery').length;
  return isDistinct(names) && recoveries <= 1 && isDistinct(vouchers.map(({ by }) => by));
}

function isVoucher(value: unknown): value is Voucher {
  if (!isRecord(value)) return false;
  const { by, mac, ...rest } = value;
  return isHex(by, 32) && isHex(mac, 32) && Object.keys(rest).length === 0;
}

/** A KEK in the bundle is one of the ring that comes with it, and as that says. */
function carriedFault({ ring, ringId, keks }: Bundle, carried: unknown): string | undefined {
  const faults = ringFaults(carried);
  if (faults.length > 0) return `the ring in it is not valid: ${faults.join('; ')}`;
  const whole = carried as Ring;
  if (whole.ring !== ring || whole.ringId !== ringId) return 'the ring in it is another one';
  const stranger = keks.find((kek) => !whole.keks.some((entry) => isEntryOf(entry, kek)));
  return stranger && `KEK ${stranger.fp} is not in its ring as it is in the bundle`;
}

function isEntryOf(entry: RingKek, kek: BundleKek): boolean {
  const { created, recovery } = vouchedOf(kek);
  const isAsSaid = entry.created === created && entry.recovery === recovery;
  return isSameKek(entry, kek) && isAsSaid && entry.provider === 'pkcs11' && isUnretired(entry);
}

function isPart(value: unknown): value is Record<string, unknown> {
  if (!isRecord(value)) return false;
  const { recipient, role, alg, wrapped, ...rest } = value;
  if (!isHex(recipient, 64) || Object.keys(rest).length > 0) return false;
  if (role !== 'recovery' && role !== 'host') return false;
  return alg === partAlgs[role] && isWrapped(wrapped, role);
}

/** By the length, a recovery part without its outer layer is told at once. */
function isWrapped(value: unknown, role: PartRole): boolean {
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/]+={0,2}$/.test(value)) return false;
  const bytes = Buffer.from(value, 'base64');
  const rsaBytes = bytes.length - (role === 'recovery' ? outerBytes : 0);
  const isLength = rsaBytes >= rsaBits.least / 8 && rsaBytes <= rsaBits.most / 8;
  return isLength && bytes.toString('base64') === value;
}

function isDistinct(names: readonly string[]): boolean {
  return new Set(names).size === names.length;
}
