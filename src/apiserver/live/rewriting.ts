// Writes one object anew as it is. kube-apiserver writes an unchanged object only where what
// is stored is stale: in clear, or under an older key id (k8s.io/apiserver,
// storage/etcd3/store.go). What is in it is in memory alone, and is never looked at.
import { setTimeout as sleep } from 'node:timers/promises';
import { isRecord, recordIn } from '../../jsonvalue.ts';
import type { ApiserverClient, Reply } from './client.ts';
import { callPatiently } from './patience.ts';

/** Somebody writes it all the time, and is faster. */
const maxConflicts = 20;
const pauseMs = 10;

export interface Rewriting {
  /**
   * `rewritten`: what was stored was stale. `gone`: deleted meanwhile. `refused`: it stays as
   * it is.
   */
  readonly kind: 'rewritten' | 'unchanged' | 'gone' | 'refused';
  /** Kind of the error alone: a message can quote what is in the object. */
  readonly reason: string;
  /** How often another had written it between the read and the write. */
  readonly conflicts: number;
}

/** @throws KleidiError apiserver-unreachable */
export async function rewriteObject(client: ApiserverClient, path: string): Promise<Rewriting> {
  for (let conflicts = 0; conflicts < maxConflicts; conflicts += 1) {
    const read = await callPatiently(client, { method: 'GET', path });
    if (read.status !== 200) return left(client, read, conflicts, ' when it is read');
    // With the resourceVersion that was read: nobody's write is lost.
    const call = { method: 'PUT', path: `${path}?fieldManager=kleidi`, body: read.body } as const;
    const put = await callPatiently(client, call);
    if (put.status === 200) {
      const isWritten = versionIn(put) !== versionIn(read);
      return { kind: isWritten ? 'rewritten' : 'unchanged', reason: '', conflicts };
    }
    if (put.status !== 409) return left(client, put, conflicts, '');
    await sleep(pauseMs * (conflicts + 1));
  }
  return { kind: 'refused', reason: 'Conflict', conflicts: maxConflicts };
}

function left(client: ApiserverClient, reply: Reply, conflicts: number, when: string): Rewriting {
  if (reply.status === 401) throw client.unexpected('a request', reply.status);
  if (reply.status === 404) return { kind: 'gone', reason: '', conflicts };
  return { kind: 'refused', reason: `${reasonIn(reply)}${when}`, conflicts };
}

/** One of the words that Kubernetes has for it (metav1.StatusReason). */
export function reasonIn({ status, body }: Reply): string {
  const reason = recordIn(body)?.['reason'];
  const isWord = typeof reason === 'string' && /^[A-Za-z]{1,40}$/.test(reason);
  return isWord ? `${reason}, ${status}` : `HTTP ${status}`;
}

function versionIn({ body }: Reply): unknown {
  const metadata = recordIn(body)?.['metadata'];
  return isRecord(metadata) ? metadata['resourceVersion'] : undefined;
}
