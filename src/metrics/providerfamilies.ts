// Providers: how often they were opened and tested, what modules answer, and how this host
// stands with Vault.
import type { Serving } from '../kms/serving.ts';
import type { ProviderCounts } from '../providers/counts.ts';
import type { ServerStanding } from '../providers/provider.ts';
import type { Family, Sample } from './openmetrics.ts';

type Counts = ReadonlyMap<string, number>;

export function providerFamilies(counts: ProviderCounts, { keyring }: Serving): Family[] {
  return [
    counter(
      'kleidi_provider_opens',
      'How often a provider was opened, by result: ok, or an error code.',
      byProvider(counts.opens),
    ),
    counter(
      'kleidi_self_tests',
      'Self-tests, by provider and result: ok, or an error code.',
      byProvider(counts.selfTests),
    ),
    counter(
      'kleidi_token_verifications',
      'What the verifier has found on disk: whole, missing, unusable or unchecked.',
      by('result', counts.verifications),
    ),
    counter(
      'kleidi_module_calls',
      'Operations with a KEK in the token, and searches for KEKs, repeated ones too.',
      by('operation', counts.moduleCalls),
    ),
    counter(
      'kleidi_module_errors',
      'Those that the module has refused, by its return value.',
      by('code', counts.moduleErrors),
    ),
    counter(
      'kleidi_vault_logins',
      'Logins to Vault, by result: ok, or an error code.',
      by('result', counts.vaultLogins),
    ),
    ...standing(keyring?.servers() ?? []),
  ];
}

function standing(servers: readonly ServerStanding[]): Family[] {
  const leases = servers.flatMap(({ lease }) => lease ?? []);
  return [
    gauge(
      'kleidi_vault_lease_expiry_timestamp_seconds',
      'When the login to Vault ends unless it is renewed.',
      leases.map(({ endsUnixMs }) => ({ value: endsUnixMs / 1000 })),
    ),
    gauge(
      'kleidi_vault_lease_granted_seconds',
      'How long the login was good for when it was made or renewed.',
      leases.map(({ grantedMs }) => ({ value: grantedMs / 1000 })),
    ),
    gauge(
      'kleidi_vault_breaker_open',
      'Whether Vault is not asked for a while: calls after outages, logins after a refusal.',
      servers.flatMap(({ breakers }) => by('breaker', breakers)),
    ),
    gauge(
      'kleidi_vault_certificate_expiry_timestamp_seconds',
      'When a certificate that is in use towards Vault ends: client, ca.',
      servers.flatMap(({ certificates }) =>
        by('certificate', certificates).map((each) => ({ ...each, value: each.value / 1000 })),
      ),
    ),
  ];
}

function by(label: string, counts: ReadonlyMap<string, number | boolean>): Sample[] {
  return [...counts].map(([name, value]) => ({ labels: { [label]: name }, value: Number(value) }));
}

function byProvider(counts: ReadonlyMap<string, Counts>): Sample[] {
  return [...counts].flatMap(([provider, results]) =>
    [...results].map(([result, value]) => ({ labels: { provider, result }, value })),
  );
}

function counter(name: string, help: string, samples: readonly Sample[]): Family {
  return { kind: 'counter', name, help, samples };
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { kind: 'gauge', name, help, samples };
}
