// The alerts that the packages ship: each fires when it should, and alone; none fires on
// hosts that are well; what they ask for is in the metrics of a real daemon and documented.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  fleet,
  growing,
  hosts,
  judge,
  on,
  ringInfo,
  rulesPath,
  type Situation,
  steady,
} from '../support/alertfleet.ts';
import { alertRules, metricOf, samplesIn } from '../support/alertrules.ts';
import { TestHost } from '../support/host.ts';
import { get, metricsSocketOf, sampleOf } from '../support/metricsclient.ts';
import { describedCommands, describedFor } from '../support/runbooks.ts';
import { missingTool } from '../support/skip.ts';

const skip = missingTool('promtool');
const rules = alertRules();
const host = await TestHost.provisioned({
  selfTest: { intervalMs: 100 },
  verifier: { intervalMs: 1000 },
});
await host.serve();
const exposition = await expositionOnceVerified();

/** It listens a moment after the daemon does; the token is verified later than the KEKs. */
async function expositionOnceVerified(): Promise<string> {
  for (;;) {
    const answer = await get(metricsSocketOf(host), '/metrics').catch(() => undefined);
    const at = sampleOf(answer?.text ?? '', 'kleidi_token_verified_timestamp_seconds') ?? 0;
    if (answer !== undefined && at > 0) return answer.text;
    await sleep(20);
  }
}

type Changes = Parameters<typeof fleet>[0];
const cp1 = (name: string, more?: string): string => on('cp1', name, more);
const everywhere = (name: string): Changes =>
  Object.fromEntries(hosts.map((host) => [on(host, name), undefined]));
const ringOfCp1 = (digest: string, keyIdHash: string, values = steady(1)): Changes => ({
  [ringInfo('cp1', 'd1', 'k1')]: undefined,
  [ringInfo('cp1', digest, keyIdHash)]: values,
});
/** Of ten calls a minute, so many are within half a second. */
const withinHalfASecond = (perMinute: number): Changes => ({
  [cp1('kleidi_call_duration_seconds_bucket', 'rpc="Decrypt",le="0.5"')]: growing(perMinute),
});
const failing = (code: string, values: string): Changes => ({
  [cp1('kleidi_calls_total', `rpc="Decrypt",code="${code}"`)]: values,
});
/** It starts anew once every so many minutes, from the 100th on. */
const starts = (minutes: number, times: number): string =>
  [`1x100`, ...Array.from({ length: times }, (_, i) => `${i + 2}x${minutes - 1}`)].join(' ');
/** A lease of an hour, and when it ends. */
const lease = (ends: string): Changes => ({
  [cp1('kleidi_vault_lease_expiry_timestamp_seconds')]: ends,
  [cp1('kleidi_vault_lease_granted_seconds')]: steady(3_600),
});
const certificate = cp1(
  'kleidi_vault_certificate_expiry_timestamp_seconds',
  'certificate="client"',
);
const notServing = {
  [cp1('kleidi_serving')]: steady(0),
  [cp1('kleidi_healthy')]: steady(0),
};

/** What makes it fire, and what is near it and does not; both at two hours. */
const cases: Readonly<Record<string, { readonly fires: Changes; readonly quiet: Changes }>> = {
  KleidiDown: {
    fires: { [cp1('up')]: steady(0) },
    quiet: { [cp1('up')]: '1x118 0x1 1x100' },
  },
  KleidiAbsent: {
    fires: everywhere('kleidi_serving'),
    quiet: { ...everywhere('kleidi_serving'), [on('cp3', 'kleidi_serving')]: steady(1) },
  },
  KleidiNotServing: {
    fires: notServing,
    quiet: { [cp1('kleidi_serving')]: '1x119 0x100' },
  },
  KleidiKekMissing: {
    fires: { [cp1('kleidi_healthy')]: steady(0) },
    quiet: { [cp1('kleidi_healthy')]: '0x117 1x100' },
  },
  KleidiProviderFails: {
    fires: { [cp1('kleidi_provider_failures', 'code="vault-sealed"')]: steady(1) },
    quiet: { [cp1('kleidi_provider_failures', 'code="vault-sealed"')]: '_x116 1x100' },
  },
  KleidiHostsDisagreeOnRing: {
    fires: ringOfCp1('d2', 'k1'),
    // A rotation under way, and a cluster with a ring of its own.
    quiet: {
      ...ringOfCp1('d2', 'k1', '_x70 1x100'),
      [ringInfo('other', 'd9', 'k9', 'other')]: steady(1),
    },
  },
  KleidiHostsDisagreeOnKeyId: {
    fires: { ...ringOfCp1('d1', 'k2') },
    // A host without a write KEK has no key id at all.
    quiet: ringOfCp1('d1', ''),
  },
  KleidiRingRefused: {
    fires: { [cp1('kleidi_ring_refused')]: steady(1) },
    quiet: { [cp1('kleidi_ring_refused')]: '0x117 1x100' },
  },
  KleidiKekWithoutRecovery: {
    fires: { [cp1('kleidi_keks_without_recovery')]: steady(1) },
    quiet: { [cp1('kleidi_keks_without_recovery')]: '0x110 1x100' },
  },
  KleidiTokenNotVerified: {
    fires: { [cp1('kleidi_token_verified_timestamp_seconds')]: `0+60x60 3600+0x100` },
    // Vault alone: there is no token that could be verified.
    quiet: {
      [cp1('kleidi_token_verified_timestamp_seconds')]: steady(0),
      [cp1('kleidi_keks', 'state="write",provider="pkcs11"')]: undefined,
      [cp1('kleidi_keks', 'state="destroyed",provider="pkcs11"')]: steady(1),
      [cp1('kleidi_keks', 'state="write",provider="vault"')]: steady(1),
    },
  },
  KleidiNotTested: {
    fires: { [cp1('kleidi_self_test_timestamp_seconds')]: '0+60x60 3600+0x100' },
    quiet: { [cp1('kleidi_self_test_timestamp_seconds')]: '0+60x112 6720+0x100' },
  },
  KleidiTokenDamaged: {
    fires: { [cp1('kleidi_token_damaged')]: '0x119 1x100' },
    quiet: { [cp1('kleidi_token_damaged')]: '1x118 0x100' },
  },
  KleidiDecryptRefused: {
    fires: { [cp1('kleidi_kek_refused_decrypts', 'fp="f0"')]: '0x119 1x100' },
    quiet: { [cp1('kleidi_kek_refused_decrypts', 'fp="f0"')]: '1x118 0x100' },
  },
  KleidiCallsFail: {
    fires: failing('UNAVAILABLE', growing(1)),
    // Some long ago, and calls that their client has given up.
    quiet: {
      ...failing('UNAVAILABLE', '0+1x50 50+0x200'),
      ...failing('CANCELLED', growing(5)),
    },
  },
  KleidiSlow: { fires: withinHalfASecond(9), quiet: withinHalfASecond(9.95) },
  KleidiKekNearBound: {
    fires: { [cp1('kleidi_kek_encrypts_total', 'fp="f1"')]: steady(2 ** 28 + 1) },
    quiet: { [cp1('kleidi_kek_encrypts_total', 'fp="f1"')]: steady(2 ** 28) },
  },
  KleidiWriteKekOld: {
    fires: { [cp1('kleidi_write_kek_created_timestamp_seconds')]: steady(-90 * 86_400) },
    quiet: { [cp1('kleidi_write_kek_created_timestamp_seconds')]: steady(-89 * 86_400) },
  },
  KleidiVaultLeaseEnds: {
    // One hour, and the renewal at 40 minutes has not come.
    fires: lease(steady(7_500)),
    // Renewed at two thirds, as it should be.
    quiet: lease('3600+0x39 6000+0x39 8400+0x100'),
  },
  KleidiVaultCertificateEnds: {
    fires: { [certificate]: steady(14 * 86_400) },
    quiet: { [certificate]: steady(15 * 86_400) },
  },
  KleidiRestarts: {
    fires: { [cp1('kleidi_start_time_seconds')]: starts(5, 5) },
    quiet: { [cp1('kleidi_start_time_seconds')]: starts(7, 3) },
  },
  KleidiDied: { fires: endedBefore('died'), quiet: endedBefore('stopped') },
};

/** One that has started 50 minutes before the alerts are looked at. */
function endedBefore(reason: string): Changes {
  return {
    [cp1('kleidi_start_time_seconds')]: steady(4_200),
    [cp1('kleidi_previous_end_info', `reason="${reason}"`)]: steady(1),
  };
}

const situations = Object.entries(cases).flatMap(([alert, { fires, quiet }]): Situation[] => [
  { name: `${alert} fires, alone`, series: fleet(fires), atMinutes: 120, fires: [alert] },
  { name: `near ${alert}, and nothing fires`, series: fleet(quiet), atMinutes: 120, fires: [] },
]);

test('every alert has a case that fires and one that does not', () => {
  assert.deepEqual(Object.keys(cases).sort(), rules.map(({ alert }) => alert).sort());
});

test('each fires when it should, alone; on hosts that are well none does', { skip }, () => {
  judge([{ name: 'all is well', series: fleet({}), atMinutes: 120, fires: [] }, ...situations]);
});

test('promtool judges: a case that says otherwise fails', { skip }, () => {
  for (const situation of situations.slice(0, 2)) {
    const fires = situation.fires.length === 0 ? ['KleidiDown'] : [];
    assert.throws(() => judge([{ ...situation, fires }]), /FAILED/, situation.name);
  }
});

test('promtool has nothing against the rules', { skip }, () => {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', rulesPath], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stdout + stderr);
});

test('each says how bad it is, what has happened, and a command that the program has', async () => {
  const described = await describedCommands();
  for (const { alert, labels, annotations } of rules) {
    assert.match(labels['severity'] ?? '', /^(?:critical|warning|info)$/, alert);
    assert.match(annotations['summary'] ?? '', /\.$/, alert);
    const text = annotations['description'] ?? '';
    const commands = [...text.matchAll(/`(kleidi [^`]+)`/g)].map(([, command = '']) => command);
    assert.ok(commands.length > 0 || text.includes('`journalctl -u kleidi -x`'), alert);
    for (const command of commands) {
      const known = describedFor(command, described);
      assert.ok(known !== undefined, `${alert}: ${command}`);
      for (const [, option = ''] of command.matchAll(/ --([a-z-]+)/g))
        assert.ok(Object.hasOwn(known.options, option), `${alert}: ${command}`);
    }
    const headings = [...text.matchAll(/"([A-Z][^"]+)"/g)].map(
      ([, heading]) => `\n## ${heading}\n`,
    );
    const page = readFileSync('docs/operations.md', 'utf8');
    for (const heading of headings) assert.ok(page.includes(heading), `${alert}: ${heading}`);
  }
});

test('docs/metrics.md has with each metric the alerts that use it', () => {
  const rows = readFileSync('docs/metrics.md', 'utf8').matchAll(
    /^\| `(kleidi_\w+)` \| \w+ \| .* \| ([^|]*) \|$/gm,
  );
  const documented = new Map([...rows].map(([, name = '', alerts]) => [name, alerts ?? '']));
  assert.ok(documented.size > 20);
  for (const [name, alerts] of documented) {
    const using = rules.filter((rule) => samplesIn(rule).map(metricOf).includes(name));
    const named = [...alerts.matchAll(/`(Kleidi\w+)`/g)].map(([, alert]) => alert);
    assert.deepEqual(named.sort(), using.map(({ alert }) => alert).sort(), name);
  }
  for (const sample of rules.flatMap(samplesIn))
    assert.ok(documented.has(metricOf(sample)), sample);
});

test('every sample that an alert asks for is one of a real daemon', () => {
  const types = new Map(
    [...exposition.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', kind = '']) => [
      name,
      kind,
    ]),
  );
  for (const sample of rules.flatMap(samplesIn)) {
    const isBucket = types.get(sample.replace(/_bucket$/, '')) === 'histogram';
    assert.ok(types.has(sample) || (sample.endsWith('_bucket') && isBucket), sample);
  }
});

test('promtool has nothing against what a real daemon exposes', { skip }, () => {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: exposition,
    encoding: 'utf8',
  });
  assert.equal(stdout + stderr, '');
  assert.equal(status, 0);
});

test('of a real daemon, the alert fires that should: its KEK has no recovery', { skip }, () => {
  const series = exposition
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line))
    .map((found) => [on('cp1', found?.[1] ?? '', found?.[2]), steady(Number(found?.[3]))]);
  const all = { ...Object.fromEntries(series), [cp1('up')]: steady(1) };
  judge([{ name: 'real', series: all, atMinutes: 120, fires: ['KleidiKekWithoutRecovery'] }]);
});
