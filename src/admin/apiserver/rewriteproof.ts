// Before a rewrite: the API server of this host writes with the key id of this ring, or on the
// way back without kleidi. After it: it has written with nothing else meanwhile.

import { providerName } from '../../apiserver/kmsprovider.ts';
import type { ApiserverClient } from '../../apiserver/live/client.ts';
import { readLive } from '../../apiserver/live/livestate.ts';
import { type InUse, writeMarker } from '../../apiserver/live/marker.ts';
import { type LiveMetrics, liveMetrics } from '../../apiserver/live/metrics.ts';
import type { Phase } from '../../apiserver/phase.ts';
import { standingOf } from '../../apiserver/standing.ts';
import { KleidiError } from '../../errors.ts';
import { keyIdHash } from '../../keyring/keyid.ts';
import { keyIdOf } from '../../keyring/ring.ts';
import { readRing } from '../../keyring/ringfile.ts';
import { note } from '../../terminal.ts';
import type { ApiserverHost } from './host.ts';
import { judgeLive, type Live, lackingIn, triedText, withTried } from './livereport.ts';

/** What was so at the beginning. */
export interface Writing {
  /** What it is to write with; undefined: without kleidi. */
  readonly keyId: string | undefined;
  readonly phase: Phase;
  readonly metrics: LiveMetrics;
}

/** @throws KleidiError refused, apiserver-unreachable, ring-missing */
export async function requireSealing(
  host: ApiserverHost,
  client: ApiserverClient,
): Promise<Writing> {
  const phase = requirePhase(host);
  const ring = await readRing(host.config.ring);
  const untried = judgeLive(await readLive(client, host), ring);
  const live = untried.isUpToDate ? withTried(untried, await writeMarker(client)) : untried;
  const keyId = keyIdOf(ring);
  if (!live.isUpToDate || keyId === undefined) throw notUpToDate(live);
  noteUntried(live.tried);
  return { keyId, phase, metrics: liveMetrics(await client.get('/metrics'), providerName) };
}

/**
 * The way back: it is at phase read, and writes in clear or by the provider of another.
 * @throws KleidiError refused, apiserver-unreachable, ring-missing
 */
export async function requireBack(host: ApiserverHost, client: ApiserverClient): Promise<Writing> {
  const { phase, isEnabled } = standingOf(host, host.record);
  if (!isEnabled || phase !== 'read') {
    throw refused(
      `kube-apiserver of this host ${standingText(isEnabled, phase)}: --back is for phase read`,
      'on every API server: kleidi apiserver enable --phase read; then this command on one',
    );
  }
  const live = judgeLive(await readLive(client, host), await readRing(host.config.ring));
  if (!live.isUpToDate) throw notUpToDate(live);
  const tried = await writeMarker(client);
  if (tried.kind === 'key-id') throw notUpToDate({ ...live, tried });
  noteUntried(tried);
  const metrics = liveMetrics(await client.get('/metrics'), providerName);
  return { keyId: undefined, phase, metrics };
}

function notUpToDate(live: Live): KleidiError {
  const { tried } = live;
  const seals = tried?.kind === 'key-id' ? `it writes ${triedText(tried)}` : '';
  return refused(
    `the API server of this host is not up to date: ${lackingIn(live) || seals || 'it uses no KMS'}`,
    'wait a minute, then kleidi apiserver status --live --try-write; where it stays so, the log of kube-apiserver and kleidi doctor say why',
  );
}

function noteUntried(tried: InUse | undefined): void {
  if (tried?.kind === 'cannot-tell')
    note(`which key id it writes with was not tried: ${tried.why}`);
}

function requirePhase(host: ApiserverHost): Phase {
  const { phase, isEnabled } = standingOf(host, host.record);
  if (isEnabled && (phase === 'write' || phase === 'only')) return phase;
  throw refused(
    `kube-apiserver of this host ${standingText(isEnabled, phase)}: what it writes is not sealed by kleidi`,
    'kleidi apiserver enable --phase write first, on every API server',
  );
}

function standingText(isEnabled: boolean, phase: Phase | undefined): string {
  return isEnabled && phase !== undefined ? `is at phase ${phase}` : 'does not use kleidi';
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
  { keyId, metrics: before }: Writing,
): Promise<MetricsProof> {
  const now = keyIdOf(await readRing(host.config.ring));
  if (keyId !== undefined && now !== keyId)
    throw notProved(`the key id of the ring has changed to ${now}`);
  const after = liveMetrics(await client.get('/metrics'), providerName);
  if (after.startedUnixMs !== before.startedUnixMs || after.writes.size === 0) return 'cannot-tell';
  const hash = keyId === undefined ? undefined : keyIdHash(keyId);
  for (const [other, count] of after.writes)
    if (other !== hash && count > (before.writes.get(other) ?? 0))
      throw notProved(`the API server of this host has written with key id ${other}`);
  const isKnown = hash === undefined || after.written?.keyIdHash === hash;
  return isKnown ? 'proved' : 'cannot-tell';
}

function notProved(what: string): KleidiError {
  return new KleidiError('change-not-applied', `${what} during the rewrite`, {
    hint: 'kleidi apiserver status --live on every host, then run this command again',
  });
}

function refused(message: string, hint: string): KleidiError {
  return new KleidiError('refused', message, { hint });
}
