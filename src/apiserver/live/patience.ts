// A call that is made again where the API server is busy, or restarts.
import { setTimeout as sleep } from 'node:timers/promises';
import { KleidiError } from '../../errors.ts';
import { recordIn } from '../../jsonvalue.ts';
import type { ApiserverClient, Call, Reply } from './client.ts';

/** A kube-apiserver that is started anew is back within a minute. */
const patienceMs = 90_000;
const pauseMs = 1_000;
/** Whatever it says in Retry-After. */
const longestPauseMs = 30_000;
/** Too many requests, unavailable, and a time that ran out. */
const passing = [429, 503, 504];
/**
 * etcd's own words, which kube-apiserver hands on as an internal error while etcd elects
 * (go.etcd.io/etcd/api/v3rpc/rpctypes). Whether a write was made is not known then: the next
 * one meets a conflict where it was.
 */
const electing =
  /^etcdserver: (leader changed|no leader|request timed out|not leader|server stopped)/;

/**
 * The answer, whatever its status is; one that passes only once the time is up.
 * @throws KleidiError apiserver-unreachable
 */
export async function callPatiently(client: ApiserverClient, call: Call): Promise<Reply> {
  const startMs = performance.now();
  for (;;) {
    const isLast = performance.now() - startMs > patienceMs;
    const reply = await client.call(call).catch((error: unknown) => {
      if (isLast || KleidiError.from(error).code !== 'apiserver-unreachable') throw error;
      return undefined;
    });
    if (reply !== undefined && (isLast || !passes(reply))) return reply;
    await sleep(Math.min(reply?.retryAfterMs ?? pauseMs, longestPauseMs));
  }
}

function passes(reply: Reply): boolean {
  if (passing.includes(reply.status)) return true;
  if (reply.status !== 500) return false;
  const message = recordIn(reply.body)?.['message'];
  return typeof message === 'string' && electing.test(message);
}
