// From the bundle's form of a KEK to what the token is asked to take in.
import { type BundleKek, macText, vouchedOf } from '../keyring/bundle.ts';
import type { RingName } from '../keyring/ringid.ts';
import { vouchText } from '../keyring/voucher.ts';
import type { ArrivingKek } from '../providers/provider.ts';

export function arriving(ring: RingName, kek: BundleKek): ArrivingKek {
  const { fp, check, oaepHash, recipients, mac, vouchers } = kek;
  return {
    ...{ fp, check, oaepHash, parts: recipients.filter(({ role }) => role === 'host') },
    ...{ mac, macText: macText(ring, kek) },
    ...{ vouchers, vouchText: vouchText(ring.ringId, vouchedOf(kek)) },
  };
}
