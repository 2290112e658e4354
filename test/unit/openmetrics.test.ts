// The text that a monitoring reads, in both formats, and what is counted for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallCounts } from '../../src/kms/callcounts.ts';
import { callBoundsSeconds, Histogram } from '../../src/kms/histogram.ts';
import { Serving } from '../../src/kms/serving.ts';
import { metricFamilies } from '../../src/metrics/families.ts';
import { LoopLag } from '../../src/metrics/looplag.ts';
import { type Family, metricsText } from '../../src/metrics/openmetrics.ts';
import { ProviderCounts } from '../../src/providers/counts.ts';
import { sampleOf } from '../support/metricsclient.ts';

const counted: Family = {
  kind: 'counter',
  name: 'kleidi_cpu_seconds',
  help: 'Time on\nprocessors.',
  samples: [{ labels: { a: 'x"y\\z\n' }, value: 2 }, { value: 0.5 }],
};

test('OpenMetrics: a counter has its suffix on the samples alone, a unit, and an end', () => {
  assert.equal(
    metricsText([counted], 'openmetrics'),
    `# TYPE kleidi_cpu_seconds counter
# UNIT kleidi_cpu_seconds seconds
# HELP kleidi_cpu_seconds Time on\\nprocessors.
kleidi_cpu_seconds_total{a="x\\"y\\\\z\\n"} 2
kleidi_cpu_seconds_total 0.5
# EOF
`,
  );
});

test('the older format: the suffix in HELP and TYPE too, info is a gauge, and no other comment', () => {
  const info: Family = {
    kind: 'info',
    name: 'kleidi_build',
    help: 'Build.',
    samples: [{ value: 1 }],
  };
  assert.equal(
    metricsText([counted, info], 'prometheus'),
    `# HELP kleidi_cpu_seconds_total Time on\\nprocessors.
# TYPE kleidi_cpu_seconds_total counter
kleidi_cpu_seconds_total{a="x\\"y\\\\z\\n"} 2
kleidi_cpu_seconds_total 0.5
# HELP kleidi_build_info Build.
# TYPE kleidi_build_info gauge
kleidi_build_info 1
`,
  );
});

test('a histogram is cumulative; a bound counts what is equal to it', () => {
  const histogram = new Histogram([0.5, 1, 2]);
  for (const seconds of [0.25, 0.5, 1.5, 2, 7]) histogram.observe(seconds);
  const family: Family = {
    kind: 'histogram',
    name: 'kleidi_x_seconds',
    help: 'X.',
    series: [{ labels: { rpc: 'Encrypt' }, histogram }],
  };
  const lines = metricsText([family], 'prometheus').trimEnd().split('\n').slice(2);
  assert.deepEqual(lines, [
    'kleidi_x_seconds_bucket{rpc="Encrypt",le="0.5"} 2',
    'kleidi_x_seconds_bucket{rpc="Encrypt",le="1.0"} 2',
    'kleidi_x_seconds_bucket{rpc="Encrypt",le="2.0"} 4',
    'kleidi_x_seconds_bucket{rpc="Encrypt",le="+Inf"} 5',
    'kleidi_x_seconds_count{rpc="Encrypt"} 5',
    'kleidi_x_seconds_sum{rpc="Encrypt"} 11.25',
  ]);
});

test('the bounds of calls rise from 50 µs to 3 s', () => {
  assert.deepEqual([callBoundsSeconds[0], callBoundsSeconds.at(-1)], [0.00005, 3]);
  assert.deepEqual(
    callBoundsSeconds,
    [...callBoundsSeconds].sort((a, b) => a - b),
  );
});

function textOf(counts: CallCounts, providers = new ProviderCounts()): string {
  const lag = new LoopLag();
  try {
    const traffic = () => ({ counts, connections: 3, inWork: 2 });
    return metricsText(
      metricFamilies(
        { serving: new Serving(), counts: providers, previousEnd: 'none', traffic },
        lag,
      ),
      'openmetrics',
    );
  } finally {
    lag.stop();
  }
}

test('calls are counted by RPC and code, refusals in the durations too, and only upwards', () => {
  const counts = new CallCounts();
  assert.equal(sampleOf(textOf(counts), 'kleidi_calls_total{rpc="Decrypt",code="OK"}'), 0);
  counts.answered('Encrypt', 'OK', 0.4);
  counts.answered('Encrypt', 'RESOURCE_EXHAUSTED', 0.04);
  counts.answered('Encrypt', 'OK', 4);
  counts.answered('Other', 'OK', 4);
  counts.cut('deadline');
  counts.displaced += 1;
  for (const [sample, value] of [
    ['kleidi_calls_total{rpc="Encrypt",code="OK"}', 2],
    ['kleidi_calls_total{rpc="Encrypt",code="RESOURCE_EXHAUSTED"}', 1],
    ['kleidi_calls_total{rpc="Other",code="OK"}', undefined],
    ['kleidi_call_duration_seconds_bucket{rpc="Encrypt",le="0.00005"}', 1],
    ['kleidi_call_duration_seconds_bucket{rpc="Encrypt",le="0.0005"}', 2],
    ['kleidi_call_duration_seconds_count{rpc="Encrypt"}', 3],
    ['kleidi_calls_cut_total{reason="deadline"}', 1],
    ['kleidi_connections_displaced_total', 1],
    ['kleidi_connections', 3],
    ['kleidi_calls_in_work', 2],
  ] as const)
    assert.equal(sampleOf(textOf(counts), sample), value, sample);
});

test('of providers: each count by its labels, and a bounded number of return values', () => {
  const providers = new ProviderCounts();
  providers.opened('pkcs11', 'pin-refused');
  providers.opened('pkcs11', 'ok');
  providers.opened('vault', 'ok');
  providers.tested('vault', 'vault-sealed');
  providers.verified('missing');
  providers.loggedIn('vault-login-failed');
  for (let code = 0; code < 100; code += 1) providers.moduleFailed(`0x${code}`);
  providers.moduleFailed('0x1');
  const text = textOf(new CallCounts(), providers);
  for (const [sample, value] of [
    ['kleidi_provider_opens_total{provider="pkcs11",result="pin-refused"}', 1],
    ['kleidi_provider_opens_total{provider="pkcs11",result="ok"}', 1],
    ['kleidi_provider_opens_total{provider="vault",result="ok"}', 1],
    ['kleidi_self_tests_total{provider="vault",result="vault-sealed"}', 1],
    ['kleidi_token_verifications_total{result="missing"}', 1],
    ['kleidi_vault_logins_total{result="vault-login-failed"}', 1],
    ['kleidi_module_errors_total{code="0x1"}', 2],
    ['kleidi_module_errors_total{code="other"}', 36],
  ] as const)
    assert.equal(sampleOf(text, sample), value, sample);
});

test('before there is a keyring: not serving, with the reason, and nothing of a ring', () => {
  const text = textOf(new CallCounts());
  assert.equal(sampleOf(text, 'kleidi_serving'), 0);
  assert.equal(sampleOf(text, 'kleidi_failure{code="starting"}'), 1);
  assert.doesNotMatch(text, /^kleidi_ring_info|^kleidi_ring_generation/m);
});

test('each family: a name of kleidi without a suffix, of one unit, help as a sentence, once', () => {
  const lines = textOf(new CallCounts()).trimEnd().split('\n');
  assert.equal(lines.pop(), '# EOF');
  const names: string[] = [];
  for (const [at, line] of lines.entries()) {
    const [, name, kind] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    names.push(name);
    assert.match(name, /^kleidi_[a-z_]+$/);
    assert.doesNotMatch(name, /_(?:total|info|bucket|count|sum|created|ms)$/);
    assert.match(kind ?? '', /^(?:gauge|counter|info|histogram)$/);
    const unit = /_(seconds|bytes)$/.exec(name)?.[1];
    if (unit !== undefined) assert.equal(lines[at + 1], `# UNIT ${name} ${unit}`);
    const help = lines[at + (unit === undefined ? 1 : 2)] ?? '';
    assert.match(help, new RegExp(`^# HELP ${name} [A-Z][^"\\\\]+\\.$`));
  }
  assert.equal(new Set(names).size, names.length);
  assert.ok(names.length > 15);
});
