// What is read out of kube-apiserver's metrics, by samples as 1.29 and 1.37 print them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiserverIdHashOf, liveMetrics } from '../../src/apiserver/live/metrics.ts';

const prefix = 'apiserver_envelope_encryption_key_id_hash';
const id = 'apiserver_id_hash="sha256:aa"';
const newer = `
# HELP ${prefix}_total [ALPHA] Number of times a keyID is used
${prefix}_status_last_timestamp_seconds{${id},key_id_hash="sha256:01",provider_name="kleidi"} 1.7e+09
${prefix}_status_last_timestamp_seconds{${id},key_id_hash="sha256:02",provider_name="kleidi"} 1.7000001e+09
${prefix}_status_last_timestamp_seconds{${id},key_id_hash="sha256:03",provider_name="other"} 1.8e+09
${prefix}_last_timestamp_seconds{${id},key_id_hash="sha256:01",provider_name="kleidi",transformation_type="to_storage"} 1.7e+09
${prefix}_last_timestamp_seconds{${id},key_id_hash="sha256:02",provider_name="kleidi",transformation_type="from_storage"} 1.8e+09
${prefix}_total{${id},key_id_hash="sha256:01",provider_name="kleidi",transformation_type="to_storage"} 7
${prefix}_total{${id},key_id_hash="sha256:02",provider_name="kleidi",transformation_type="from_storage"} 9
apiserver_encryption_config_controller_last_config_info{${id},hash="sha256:cc"} 1
process_start_time_seconds 1.69e+09
`;

test('the newest Status, the last write, the configuration; of our provider alone', () => {
  assert.deepEqual(liveMetrics(newer, 'kleidi'), {
    apiserverIdHash: 'sha256:aa',
    announced: { keyIdHash: 'sha256:02', unixMs: 1_700_000_100_000 },
    written: { keyIdHash: 'sha256:01', unixMs: 1_700_000_000_000 },
    writes: new Map([['sha256:01', 7]]),
    configHash: 'sha256:cc',
    startedUnixMs: 1_690_000_000_000,
    lastReload: undefined,
  });
});

test('what a version does not have is undefined, and never a no', () => {
  assert.deepEqual(liveMetrics('go_goroutines 12\n', 'kleidi'), {
    apiserverIdHash: undefined,
    announced: undefined,
    written: undefined,
    writes: new Map(),
    configHash: undefined,
    startedUnixMs: undefined,
    lastReload: undefined,
  });
});

test('the last reload counts, whether good or not', () => {
  const reload = 'apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds';
  const text = `${reload}{status="success"} 100\n${reload}{status="failure"} 200\n`;
  assert.deepEqual(liveMetrics(text, 'kleidi').lastReload, { isGood: false, unixMs: 200_000 });
});

test('an API server is known by the name of its host', () => {
  assert.match(apiserverIdHashOf('cp1'), /^sha256:[0-9a-f]{64}$/);
  assert.notEqual(apiserverIdHashOf('cp1'), apiserverIdHashOf('cp2'));
});
