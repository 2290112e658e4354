// The KEKs of the ring in use: how many in which state, what is missing or has no way
// back, and how often each was used.
import { isUnretired, type Ring, writeKekOf } from '../keyring/ring.ts';
import type { Serving } from '../kms/serving.ts';
import type { Family } from './openmetrics.ts';

const states = ['staged', 'write', 'read', 'retired', 'destroyed'] as const;

export function kekFamilies(serving: Serving): Family[] {
  const { keyring } = serving;
  if (keyring === undefined) return [];
  const { ring } = keyring;
  return [
    {
      kind: 'gauge',
      name: 'kleidi_keks',
      help: 'KEKs of the ring in use, by state and provider.',
      samples: byState(ring),
    },
    {
      kind: 'gauge',
      name: 'kleidi_keks_missing',
      help: 'KEKs that are not retired and that this host lacks or holds with another value.',
      samples: [{ value: keyring.missing().length }],
    },
    {
      kind: 'gauge',
      name: 'kleidi_keks_without_recovery',
      help: 'KEKs that are not retired and that no recovery key can bring back.',
      samples: [{ value: withoutRecovery(ring) }],
    },
    {
      kind: 'gauge',
      name: 'kleidi_write_kek_created_timestamp_seconds',
      help: 'When the write KEK was made, as the ring file of this host has it.',
      samples: writeKekCreated(ring),
    },
    ...uses(ring, serving),
  ];
}

function byState({ keks }: Ring) {
  const providers = [...new Set(keks.map(({ provider }) => provider))];
  return providers.flatMap((provider) =>
    states.map((state) => ({
      labels: { state, provider },
      value: keks.filter((kek) => kek.state === state && kek.provider === provider).length,
    })),
  );
}

function withoutRecovery({ keks }: Ring): number {
  return keks.filter((kek) => isUnretired(kek) && kek.recovery === null).length;
}

function writeKekCreated(ring: Ring) {
  const kek = writeKekOf(ring);
  return kek === undefined ? [] : [{ value: Date.parse(kek.created) / 1000 }];
}

function uses({ keks }: Ring, serving: Serving): Family[] {
  const of = (count: 'encrypts' | 'decrypts' | 'refusedDecrypts') =>
    keks
      .filter((kek) => kek.state !== 'destroyed')
      .map(({ fp }) => ({ labels: { fp }, value: serving.uses.of(fp)[count] }));
  return [
    {
      kind: 'counter',
      name: 'kleidi_kek_encrypts',
      help: 'Encrypt calls under this KEK; at 2^30 of one process they are refused.',
      samples: of('encrypts'),
    },
    {
      kind: 'counter',
      name: 'kleidi_kek_decrypts',
      help: 'Decrypt calls under this KEK that were answered.',
      samples: of('decrypts'),
    },
    {
      kind: 'gauge',
      name: 'kleidi_kek_refused_decrypts',
      help: 'Decrypt calls refused since this KEK is retired: something needs it still.',
      samples: of('refusedDecrypts'),
    },
  ];
}
