// The child's side of making a KEK: the token makes and wraps it, the bundle's
// form and the outer layer for the recovery key come from the keyring.
import { createPublicKey } from 'node:crypto';
import {
  type BundleKek,
  macText,
  partAlgs,
  recoveryContext,
  type UnsignedKek,
  vouchedOf,
  type WrappedKek,
} from '../keyring/bundle.ts';
import { hybridOf, sealOuter } from '../keyring/hybrid.ts';
import { recipientOf } from '../keyring/publickey.ts';
import { type Voucher, vouchText } from '../keyring/voucher.ts';
import type { Token } from '../providers/pkcs11/token.ts';
import { createKek } from '../providers/pkcs11/write/creation.ts';
import type { Fingerprint, KekIdentity, WrappedNewKek } from '../providers/provider.ts';
import { type Agree, type CreateJob, kekLabel, type NewKekRecipient } from './protocol.ts';

/** Reports the wrapped KEK, and keeps it only once the parent has stored that. */
export async function createInToken(token: Token, job: CreateJob, agree: Agree): Promise<void> {
  // Described once: each outer layer is another one, and the MAC is over what is handed out.
  let described: UnsignedKek | undefined;
  const unsigned = (kek: WrappedNewKek): UnsignedKek => {
    described ??= describe(kek, job);
    return described;
  };
  const wish = {
    label: kekLabel(job.ring),
    recipients: job.recipients.map(({ spki }) => Buffer.from(spki, 'base64')),
    macText: (kek: WrappedNewKek) => macText(job, unsigned(kek)),
    vouchedBy: job.vouchedBy,
    vouchText: (kek: WrappedNewKek) => vouchText(job.ringId, vouchedOf(unsigned(kek))),
  };
  await createKek(token, wish, async (kek) => {
    const vouchers = vouchersOf(job.vouchedBy, kek.voucherMac);
    const made: BundleKek = { ...unsigned(kek), mac: kek.mac, vouchers };
    await agree(made);
  });
}

function vouchersOf(by: KekIdentity | null, mac: string | null): Voucher[] {
  return by === null || mac === null ? [] : [{ by: by.fp, mac }];
}

function describe({ fp, check, oaepHash, wrapped }: WrappedNewKek, job: CreateJob): UnsignedKek {
  const recipients = job.recipients.map((recipient, i) =>
    partFor(fp, recipient, wrapped[i] ?? Buffer.alloc(0)),
  );
  return { fp, check, created: job.created, oaepHash, recipients };
}

function partFor(fp: Fingerprint, recipient: NewKekRecipient, wrapped: Buffer): WrappedKek {
  const spki = Buffer.from(recipient.spki, 'base64');
  const { role } = recipient;
  if (role === 'host') {
    const part = { recipient: recipientOf(spki), role, alg: partAlgs.host };
    return { ...part, wrapped: wrapped.toString('base64') };
  }
  const key = hybridOf(publicKey(spki), publicKey(Buffer.from(recipient.kem, 'base64')));
  const sealed = sealOuter(wrapped, key, recoveryContext(fp));
  const part = { recipient: key.fingerprint, role, alg: partAlgs.recovery };
  return { ...part, wrapped: sealed.toString('base64') };
}

function publicKey(spki: Buffer) {
  return createPublicKey({ key: spki, format: 'der', type: 'spki' });
}
