// The child's side of making a KEK: the token makes and wraps it, the bundle's
// form comes from the keyring.
import { type BundleKek, macText, type UnsignedKek } from '../keyring/bundle.ts';
import { recipientOf } from '../keyring/publickey.ts';
import type { KekCreator, WrappedNewKek } from '../providers/provider.ts';
import type { Agree } from './tokenwork.ts';

export interface NewKekRecipient {
  /** base64 */
  readonly spki: string;
  readonly role: 'recovery' | 'host';
}

export interface CreateJob {
  readonly kind: 'create';
  readonly ring: string;
  readonly created: string;
  readonly recipients: readonly NewKekRecipient[];
}

/** Reports the wrapped KEK, and keeps it only once the parent has stored that. */
export async function createInToken(
  creator: KekCreator,
  job: CreateJob,
  agree: Agree,
): Promise<object> {
  const unsigned = (kek: WrappedNewKek): UnsignedKek => describe(kek, job);
  const wish = {
    label: `kleidi ${job.ring}`,
    recipients: job.recipients.map(({ spki }) => ({ spki: Buffer.from(spki, 'base64') })),
    macText: (kek: WrappedNewKek) => macText(job.ring, unsigned(kek)),
  };
  const { fp } = await creator.createKek(wish, async (kek) => {
    const made: BundleKek = { ...unsigned(kek), mac: kek.mac };
    await agree(made);
  });
  return { kept: fp };
}

function describe({ fp, oaepHash, wrapped }: WrappedNewKek, job: CreateJob): UnsignedKek {
  const recipients = job.recipients.map(({ spki, role }, i) => ({
    recipient: recipientOf(Buffer.from(spki, 'base64')),
    role,
    wrapped: wrapped[i]?.toString('base64') ?? '',
  }));
  return { fp, created: job.created, oaepHash, recipients };
}
