// Which key id the API server of this host writes with now: a Secret of kleidi's own is
// written, and the metrics say what it was sealed with. They count writes since the start of
// the API server, and one that has written nothing since a change says nothing of it.
import { createHash, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { providerName } from '../kmsprovider.ts';
import type { ApiserverClient, Reply } from './client.ts';
import { liveMetrics } from './metrics.ts';
import { reasonIn } from './rewriting.ts';

const folder = '/api/v1/namespaces/kube-system/secrets';

export type InUse =
  | { readonly kind: 'key-id'; readonly keyIdHash: string }
  /** In clear, or by another provider. */
  | { readonly kind: 'not-ours' }
  /** A policy, a webhook or a right refuses the Secret, or the metric is not there. */
  | { readonly kind: 'cannot-tell'; readonly why: string };

/** One a host; a run that was killed leaves it, and the next takes it over. */
function markerName(): string {
  return `kleidi-marker-${createHash('sha256').update(hostname()).digest('hex').slice(0, 12)}`;
}

/**
 * Safe to repeat. Nothing is left of it, where deleting it is allowed.
 * @throws KleidiError apiserver-unreachable
 */
export async function writeMarker(client: ApiserverClient): Promise<InUse> {
  const before = liveMetrics(await client.get('/metrics'), providerName);
  const reply = await put(client);
  if (reply.status !== 200 && reply.status !== 201) {
    return { kind: 'cannot-tell', why: `a Secret in kube-system is refused: ${reasonIn(reply)}` };
  }
  const after = liveMetrics(await client.get('/metrics'), providerName);
  await client.call({ method: 'DELETE', path: `${folder}/${markerName()}` });
  if (after.startedUnixMs !== before.startedUnixMs)
    return { kind: 'cannot-tell', why: 'the API server was started anew meanwhile' };
  const isCounted = [...after.writes].some(([hash, n]) => n > (before.writes.get(hash) ?? 0));
  if (isCounted && after.written !== undefined)
    return { kind: 'key-id', keyIdHash: after.written.keyIdHash };
  // Where it has asked for a Status, there are these metrics. One that has sealed before counts on.
  const isUncounted = after.written !== undefined && after.writes.size === 0;
  if (after.announced === undefined || isUncounted)
    return { kind: 'cannot-tell', why: 'the API server has no metric of what it writes with' };
  return { kind: 'not-ours' };
}

async function put(client: ApiserverClient): Promise<Reply> {
  const name = markerName();
  // Never the same twice: an unchanged Secret would not be written.
  const body = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'kube-system' },
    stringData: { host: hostname(), run: randomUUID() },
  };
  const made = await client.call({ method: 'POST', path: folder, body });
  if (made.status !== 409) return made;
  return client.call({ method: 'PUT', path: `${folder}/${name}`, body });
}
