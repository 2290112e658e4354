// Alerts as promtool tests them: three hosts that are well, with something changed, and
// which alerts fire then. Time begins at 0, one sample a minute.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { temporaryFolder } from './folder.ts';

export const rulesPath = resolve('packaging/monitoring/kleidi.rules.yaml');

const minutes = 240;
/** Values as promtool writes them: begin + step x times. */
export const steady = (value: number): string => `${value}+0x${minutes}`;
export const growing = (perMinute: number, from = 0): string => `${from}+${perMinute}x${minutes}`;

/** Values by series: `name{labels}`. */
export type Series = Readonly<Record<string, string>>;

export const hosts = ['cp1', 'cp2', 'cp3'] as const;

/** A series of one host; `more` are further labels, as they are written. */
export function on(host: string, name: string, more = ''): string {
  return `${name}{job="kleidi",instance="${host}"${more === '' ? '' : `,${more}`}}`;
}

export const ringInfo = (host: string, digest: string, keyIdHash: string, ring = 'prod'): string =>
  on(
    host,
    'kleidi_ring_info',
    `ring="${ring}",digest="${digest}",openable_digest="o${digest}",key_id_hash="${keyIdHash}"`,
  );

const bucket = (rpc: string, le: string): string => `rpc="${rpc}",le="${le}"`;

function healthy(host: string): Series {
  const values: Readonly<Record<string, string>> = {
    up: steady(1),
    kleidi_serving: steady(1),
    kleidi_healthy: steady(1),
    kleidi_ring_refused: steady(0),
    kleidi_keks_without_recovery: steady(0),
    kleidi_self_test_timestamp_seconds: growing(60),
    kleidi_token_verified_timestamp_seconds: growing(60),
    kleidi_token_damaged: steady(0),
    kleidi_write_kek_created_timestamp_seconds: steady(0),
    kleidi_start_time_seconds: steady(1),
  };
  const named = Object.entries(values).map(([name, each]) => [on(host, name), each] as const);
  return {
    ...Object.fromEntries(named),
    [ringInfo(host, 'd1', 'k1')]: steady(1),
    [on(host, 'kleidi_keks', 'state="write",provider="pkcs11"')]: steady(1),
    [on(host, 'kleidi_kek_encrypts_total', 'fp="f1"')]: growing(10),
    [on(host, 'kleidi_kek_refused_decrypts', 'fp="f0"')]: steady(0),
    [on(host, 'kleidi_calls_total', 'rpc="Decrypt",code="OK"')]: growing(10),
    [on(host, 'kleidi_call_duration_seconds_bucket', bucket('Decrypt', '0.5'))]: growing(10),
    [on(host, 'kleidi_call_duration_seconds_bucket', bucket('Decrypt', '1.0'))]: growing(10),
    [on(host, 'kleidi_call_duration_seconds_bucket', bucket('Decrypt', '+Inf'))]: growing(10),
  };
}

/** @param changes other values, more series, or undefined for one that is not there */
export function fleet(changes: Readonly<Record<string, string | undefined>>): Series {
  const all = Object.assign({}, ...hosts.map(healthy), changes) as typeof changes;
  const there = Object.entries(all).filter((entry): entry is [string, string] => {
    return entry[1] !== undefined;
  });
  return Object.fromEntries(there);
}

export interface Situation {
  readonly name: string;
  readonly series: Series;
  readonly atMinutes: number;
  /** All that fire, by name. */
  readonly fires: readonly string[];
}

/** Has promtool judge all of them. @throws where other alerts fire than those */
export function judge(situations: readonly Situation[]): void {
  const tests = situations.map(({ name, series, atMinutes, fires }) => ({
    name,
    interval: '1m',
    input_series: Object.entries(series).map(([each, values]) => ({ series: each, values })),
    promql_expr_test: [
      {
        expr: 'group by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: `${atMinutes}m`,
        exp_samples: fires.map((alert) => ({ labels: `{alertname="${alert}"}`, value: 1 })),
      },
    ],
  }));
  const path = join(temporaryFolder(), 'rules.test.json');
  const rules = { rule_files: [rulesPath], evaluation_interval: '1m' };
  writeFileSync(path, JSON.stringify({ ...rules, tests }));
  execFileSync('promtool', ['test', 'rules', path], { stdio: 'pipe', encoding: 'utf8' });
}
