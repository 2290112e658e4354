// What kube-apiserver's metrics say of the key that it seals with and of the file that it
// runs on. All are ALPHA upstream: what is gone in some version is undefined here, never a no.
import { createHash } from 'node:crypto';

const statusMetric = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds';
const usedMetric = 'apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds';
const usesMetric = 'apiserver_envelope_encryption_key_id_hash_total';
const configMetric = 'apiserver_encryption_config_controller_last_config_info';
const reloadMetric =
  'apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds';

export interface KeyIdAt {
  /** sha256:… of the key id. */
  readonly keyIdHash: string;
  readonly unixMs: number;
}

export interface LiveMetrics {
  /** Whose answer this is; undefined where no metric says it. */
  readonly apiserverIdHash: string | undefined;
  /** Of the last Status that it has asked for. */
  readonly announced: KeyIdAt | undefined;
  /** That it has written with last, since its start. */
  readonly written: KeyIdAt | undefined;
  /** How often it has written with each, since its start, by key id hash. */
  readonly writes: ReadonlyMap<string, number>;
  /** sha256:… of the configuration that it runs on; from Kubernetes 1.34 on. */
  readonly configHash: string | undefined;
  readonly startedUnixMs: number | undefined;
  readonly lastReload: { readonly isGood: boolean; readonly unixMs: number } | undefined;
}

interface Sample {
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

/** @param provider the name of the kms provider, of those that the configuration has */
export function liveMetrics(text: string, provider: string): LiveMetrics {
  const all = samplesIn(text, [
    ...[statusMetric, usedMetric, usesMetric],
    ...[configMetric, reloadMetric, startMetric],
  ]);
  const of = (name: string, label?: string, value?: string): Sample[] =>
    (all.get(name) ?? []).filter(({ labels }) => !label || labels.get(label) === value);
  const ours = (name: string): Sample[] => of(name, 'provider_name', provider);
  const toStorage = (name: string): Sample[] =>
    ours(name).filter(({ labels }) => labels.get('transformation_type') === 'to_storage');
  const reload = newest(of(reloadMetric));
  const ids = [...all.values()].flat().map(({ labels }) => labels.get('apiserver_id_hash'));
  return {
    apiserverIdHash: ids.find((id) => id !== undefined && id !== ''),
    announced: keyIdAt(newest(ours(statusMetric))),
    written: keyIdAt(newest(toStorage(usedMetric))),
    writes: new Map(
      toStorage(usesMetric).map(({ labels, value }) => [labels.get('key_id_hash') ?? '', value]),
    ),
    configHash: newest(of(configMetric))?.labels.get('hash'),
    startedUnixMs: msOf(newest(of(startMetric))),
    lastReload: reload && {
      isGood: reload.labels.get('status') === 'success',
      unixMs: reload.value * 1_000,
    },
  };
}

const startMetric = 'process_start_time_seconds';

function newest(samples: readonly Sample[]): Sample | undefined {
  return samples.toSorted((a, b) => b.value - a.value)[0];
}

function msOf(sample: Sample | undefined): number | undefined {
  return sample && sample.value * 1_000;
}

function keyIdAt(sample: Sample | undefined): KeyIdAt | undefined {
  const keyIdHash = sample?.labels.get('key_id_hash') ?? '';
  return sample && keyIdHash !== '' ? { keyIdHash, unixMs: sample.value * 1_000 } : undefined;
}

/** The text format of Prometheus, one sample a line: NAME{LABEL="VALUE",…} NUMBER. */
function samplesIn(text: string, names: readonly string[]): Map<string, Sample[]> {
  const found = new Map<string, Sample[]>();
  for (const line of text.split('\n')) {
    const name = /^[a-zA-Z_:][\w:]*/.exec(line)?.[0] ?? '';
    if (!names.includes(name)) continue;
    const labels = [...line.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)];
    const value = Number(line.slice(line.lastIndexOf(' ') + 1));
    const sample = { labels: new Map(labels.map(([, key = '', word = '']) => [key, word])), value };
    found.set(name, [...(found.get(name) ?? []), sample]);
  }
  return found;
}

/**
 * How the API server of this host names itself in its metrics: by the host's name
 * (kubernetes/apiserver, pkg/server/config.go: two texts with their lengths, hashed).
 */
export function apiserverIdHashOf(hostname: string): string {
  const named = [hostname, 'kube-apiserver'].flatMap((text) => {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(Buffer.byteLength(text));
    return [length, Buffer.from(text)];
  });
  const digest = createHash('sha256').update(Buffer.concat(named)).digest().subarray(0, 16);
  return `sha256:${createHash('sha256')
    .update(`apiserver-${base32(digest)}`)
    .digest('hex')}`;
}

/** RFC 4648, lower case, without padding. */
function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const groups = bits.match(/.{1,5}/g) ?? [];
  return groups
    .map((group) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(group.padEnd(5, '0'), 2)])
    .join('');
}
