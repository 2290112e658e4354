// Before a rewrite: the API server of this host writes with the key id of this ring. After
// it: it has written with no other meanwhile.

import { providerName } from '../../apiserver/kmsprovider.ts';
import type { ApiserverClient } from '../../apiserver/live/client.ts';
import { readLive } from '../../apiserver/live/livestate.ts';
import { writeMarker } from '../../apiserver/live/marker.ts';
import { type LiveMetrics, liveMetrics } from '../../apiserver/live/metrics.ts';
import type { Phase } from '../../apiserver/phase.ts';
import { standingOf } from '../../apiserver/standing.ts';
import { KleidiError } from '../../errors.ts';
import { keyIdHash } from '../../keyring/keyid.ts';
import { keyIdOf } from '../../keyring/ring.ts';
import { readRing } from '../../keyring/ringfile.ts';
import { note } from '../../terminal.ts';
import type { ApiserverHost } from './host.ts';
import { judgeLive, lackingIn, withTried } from './livereport.ts';

/** What was so at the beginning. */
export interface Sealing {
  readonly keyId: string;
  readonly phase: Phase;
  readonly metrics: LiveMetrics;
}

/** @throws KleidiError refused, apiserver-unreachable, ring-missing */
export async function requireSealing(
  host: ApiserverHost,
  client: ApiserverClient,
): Promise<Sealing> {
  const phase = requirePhase(host);
  const ring = await readRing(host.config.ring);
  const untried = judgeLive(await readLive(client, host), ring);
  const live = untried.isUpToDate ? withTried(untried, await writeMarker(client)) : untried;
  const keyId = keyIdOf(ring);
  if (!live.isUpToDate || keyId === undefined) {
    throw refused(
      `the API server of this host is not up to date: ${lackingIn(live) || 'it uses no KMS'}`,
      'wait a minute, then kleidi apiserver status --live --try-write; where it stays so, the log of kube-apiserver and kleidi doctor say why',
    );
  }
  if (live.tried?.kind === 'cannot-tell')
    note(`which key id it writes with was not tried: ${live.tried.why}`);
  return { keyId, phase, metrics: liveMetrics(await client.get('/metrics'), providerName) };
}

function requirePhase(host: ApiserverHost): Phase {
  const { phase, isEnabled } = standingOf(host, host.record);
  if (isEnabled && (phase === 'write' || phase === 'only')) return phase;
  const what = isEnabled && phase !== undefined ? `is at phase ${phase}` : 'does not use kleidi';
  throw refused(
    `kube-apiserver of this host ${what}: what it writes is not sealed by kleidi`,
    'kleidi apiserver enable --phase write first, on every API server',
  );
}

/** `cannot-tell`: it was started anew, or has no such metrics. */
export type MetricsProof = 'proved' | 'cannot-tell';

/**
 * Of this API server alone; nothing here knows what others write.
 * @throws KleidiError change-not-applied
 */
export async function proveByMetrics(
  host: ApiserverHost,
  client: ApiserverClient,
  { keyId, metrics: before }: Sealing,
): Promise<MetricsProof> {
  const now = keyIdOf(await readRing(host.config.ring));
  if (now !== keyId) throw notProved(`the key id of the ring has changed to ${now}`);
  const after = liveMetrics(await client.get('/metrics'), providerName);
  if (after.startedUnixMs !== before.startedUnixMs || after.writes.size === 0) return 'cannot-tell';
  const hash = keyIdHash(keyId);
  for (const [other, count] of after.writes)
    if (other !== hash && count > (before.writes.get(other) ?? 0))
      throw notProved(`the API server of this host has written with key id ${other}`);
  return after.written?.keyIdHash === hash ? 'proved' : 'cannot-tell';
}

function notProved(what: string): KleidiError {
  return new KleidiError('change-not-applied', `${what} during the rewrite`, {
    hint: 'kleidi apiserver status --live on every host, then run this command again',
  });
}

function refused(message: string, hint: string): KleidiError {
  return new KleidiError('refused', message, { hint });
}
