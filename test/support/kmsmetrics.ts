// What kube-apiserver's own metrics say of the key that it seals with.
import type { ApiServers } from './apiservers.ts';

const statusMetric = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds';

/** The key id hash of the last Status, or '' before the first. */
export async function keyIdHashOf(api: ApiServers, index: number): Promise<string> {
  const lines = (await api.get(index, '/metrics')).split('\n');
  const newest = lines
    .filter((line) => line.startsWith(`${statusMetric}{`))
    .map((line) => ({
      hash: /key_id_hash="([^"]*)"/.exec(line)?.[1] ?? '',
      seconds: Number(line.split(' ').at(-1)),
    }))
    .sort((a, b) => b.seconds - a.seconds);
  return newest[0]?.hash ?? '';
}
