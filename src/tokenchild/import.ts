// The child's side of taking KEKs in: from the bundle's form to what the token
// is asked for. The parent writes bundles and ring at the two points in between.
import { type BundleKek, macText, vouchedOf } from '../keyring/bundle.ts';
import type { RingName } from '../keyring/ringid.ts';
import { vouchText } from '../keyring/voucher.ts';
import type { ArrivingKek, KekTransfer } from '../providers/provider.ts';
import type { Agree } from './protocol.ts';

export async function importIntoToken(
  transfer: KekTransfer,
  ring: RingName,
  keks: readonly BundleKek[],
  agree: Agree,
): Promise<object> {
  await transfer.importKeks(
    keks.map((kek) => arriving(ring, kek)),
    {
      label: `kleidi ${ring.ring}`,
      beforePersist: (missing, vouchers) => agree({ missing, vouchers }),
      beforeTransportKeyDestroyed: () => agree({ kept: true }),
    },
  );
  return { closed: true };
}

function arriving(ring: RingName, kek: BundleKek): ArrivingKek {
  const wrapped = kek.recipients
    .filter(({ role }) => role === 'host')
    .map((part) => [part.recipient, Buffer.from(part.wrapped, 'base64')] as const);
  const { fp, check, oaepHash, mac, vouchers } = kek;
  return {
    ...{ fp, check, oaepHash, wrapped: new Map(wrapped) },
    ...{ mac, macText: macText(ring, kek) },
    ...{ vouchers, vouchText: vouchText(ring.ringId, vouchedOf(kek)) },
  };
}
