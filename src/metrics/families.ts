// All that the daemon tells a monitoring: from memory, like Status, and without secrets.
// docs/metrics.md has the meaning of each.
import type { Traffic } from '../kms/server.ts';
import type { Serving } from '../kms/serving.ts';
import { type KnownState, stateOf } from '../kms/state.ts';
import type { ProviderCounts } from '../providers/counts.ts';
import { kekFamilies } from './kekfamilies.ts';
import type { LoopLag } from './looplag.ts';
import type { Family, Sample } from './openmetrics.ts';
import { processFamilies } from './process.ts';
import { providerFamilies } from './providerfamilies.ts';
import { callFamilies } from './traffic.ts';

export interface MetricSources {
  readonly serving: Serving;
  readonly counts: ProviderCounts;
  /** How the process before this one ended. */
  readonly previousEnd: string;
  traffic(): Traffic;
}

export function metricFamilies(
  { serving, counts, previousEnd, traffic }: MetricSources,
  lag: LoopLag,
): Family[] {
  const state = stateOf(serving);
  return [
    ...healthFamilies(state, serving),
    ...ringFamilies(state, serving),
    ...kekFamilies(serving),
    ...callFamilies(traffic()),
    ...providerFamilies(counts, serving),
    ...processFamilies(state, previousEnd, lag),
  ];
}

const one = (value: number | boolean) => [{ value: Number(value) }];

function healthFamilies(state: KnownState, serving: Serving): Family[] {
  const { failureCode, healthz } = state;
  const failures = new Map<string, number>();
  for (const { code } of serving.keyring?.failures() ?? [])
    failures.set(code, (failures.get(code) ?? 0) + 1);
  return [
    gauge('kleidi_serving', 'Whether Status answers, so that the write KEK may be used.', [
      { value: Number(failureCode === '') },
    ]),
    gauge('kleidi_healthy', 'Whether Status answers healthz ok: this host lacks no KEK.', [
      { value: Number(healthz === 'ok') },
    ]),
    gauge(
      'kleidi_failure',
      'Why Status is an error: 1 with the error code, nothing while it answers.',
      failureCode === '' ? [] : [{ labels: { code: failureCode }, value: 1 }],
    ),
    gauge(
      'kleidi_provider_failures',
      'Providers of KEKs that cannot be used now, by error code.',
      [...failures].map(([code, value]) => ({ labels: { code }, value })),
    ),
    gauge(
      'kleidi_notices',
      'Faults that kleidi status shows as notices.',
      one(state.notices.length),
    ),
    ...tokenFamilies(state),
  ];
}

function tokenFamilies(state: KnownState): Family[] {
  return [
    gauge(
      'kleidi_self_test_timestamp_seconds',
      'When the last self-test of the providers has ended; 0 before the first.',
      one(state.selfTestUnixMs / 1000),
    ),
    gauge(
      'kleidi_token_verified_timestamp_seconds',
      'When the token on disk was last found whole; 0 before the first time.',
      one(state.tokenVerifiedUnixMs / 1000),
    ),
    gauge(
      'kleidi_token_damaged',
      'Whether the token on disk lacks what the daemon serves from memory: do not restart.',
      one(state.tokenDamaged),
    ),
  ];
}

function ringFamilies(state: KnownState, serving: Serving): Family[] {
  const { ring, ringId, digest, openableDigest, keyIdHash, generation } = state;
  const labels = {
    ...{ ring, ring_id: ringId, generation: String(generation), digest },
    ...{ openable_digest: openableDigest, key_id_hash: keyIdHash },
  };
  const isKnown = serving.keyring !== undefined;
  return [
    {
      kind: 'info',
      name: 'kleidi_ring',
      help: 'The ring in use, counting only KEKs that were verified; equal on all hosts.',
      samples: isKnown ? [{ labels, value: 1 }] : [],
    },
    gauge(
      'kleidi_ring_generation',
      'The generation of the ring in use; it rises at each promotion.',
      isKnown ? one(generation) : [],
    ),
    gauge(
      'kleidi_ring_refused',
      'Whether the ring file is not in use: after a restart there would be only that.',
      one(state.ringRefused),
    ),
  ];
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { kind: 'gauge', name, help, samples };
}
