// What the running API server says, beside this host's ring: for people and for programs.
import type { LiveState } from '../../apiserver/live/livestate.ts';
import type { InUse } from '../../apiserver/live/marker.ts';
import type { KeyIdAt } from '../../apiserver/live/metrics.ts';
import { keyIdHash } from '../../keyring/keyid.ts';
import { keyIdOf, type Ring } from '../../keyring/ring.ts';

export interface Live {
  readonly state: LiveState;
  /** Of the ring; undefined where it has no write KEK. */
  readonly ringKeyIdHash: string | undefined;
  /** It runs on the file, is healthy, and has asked for the key id of the ring. */
  readonly isUpToDate: boolean;
  /** By a write that was tried; undefined where none was. */
  readonly tried?: InUse;
}

/** @param tried what it wrote with, just now */
export function withTried(live: Live, tried: InUse): Live {
  const isOther = tried.kind !== 'cannot-tell' && !isOfRing(tried, live);
  return { ...live, tried, isUpToDate: live.isUpToDate && !isOther };
}

function isOfRing(tried: InUse, { ringKeyIdHash }: Live): boolean {
  return tried.kind === 'key-id' && tried.keyIdHash === ringKeyIdHash;
}

export function judgeLive(state: LiveState, ring: Ring | undefined): Live {
  const ringKeyIdHash = hashOf(ring);
  const { runsOnFile, health, announced, ready } = state;
  const hasKeyId = ringKeyIdHash !== undefined && announced?.keyIdHash === ringKeyIdHash;
  const isUpToDate = runsOnFile === 'yes' && health?.isGood === true && ready.isGood && hasKeyId;
  return { state, ringKeyIdHash, isUpToDate };
}

/** What is not as it should be; empty where all is. */
export function lackingIn(live: Live): string {
  const { state, ringKeyIdHash, tried } = live;
  const { runsOnFile, health, announced, ready } = state;
  const lacks = [
    runsOnFile === 'yes' ? '' : lacksRun[runsOnFile],
    health === undefined || health.isGood ? '' : `its check kms-providers fails: ${health.text}`,
    ready.isGood ? '' : `it is not ready: ${ready.text}`,
    announced?.keyIdHash === ringKeyIdHash
      ? ''
      : 'it has not asked for the key id of this ring yet',
    tried === undefined || tried.kind === 'cannot-tell' || isOfRing(tried, live)
      ? ''
      : `it writes ${triedText(tried)}`,
  ];
  return lacks.filter((each) => each !== '').join('; ');
}

/** What it writes with: for the sentence `it writes …`. */
export function triedText(tried: InUse): string {
  switch (tried.kind) {
    case 'key-id':
      return `with key id ${tried.keyIdHash}`;
    case 'not-ours':
      return 'without kleidi';
    case 'cannot-tell':
      return `with what cannot be told: ${tried.why}`;
    default:
      return tried satisfies never;
  }
}

function hashOf(ring: Ring | undefined): string | undefined {
  const keyId = ring && keyIdOf(ring);
  return keyId === undefined ? undefined : keyIdHash(keyId);
}

export function liveAsJson(live: Live): object {
  const { state, ringKeyIdHash, isUpToDate, tried } = live;
  const { announced, written, runsOnFile, health, ready } = state;
  return {
    upToDate: isUpToDate,
    lacking: lackingIn(live),
    ready: ready.isGood,
    runsOnFile,
    healthy: health?.isGood ?? null,
    health: health?.text ?? null,
    ringKeyIdHash: ringKeyIdHash ?? null,
    announced: announced ?? null,
    written: written ?? null,
    tried: tried ?? null,
  };
}

const lacksRun = {
  no: 'it runs on another configuration: restart or reload pending',
  'cannot-tell': 'which configuration it runs on cannot be told: look again in two minutes',
} as const;

const runs = {
  yes: 'on this configuration',
  no: 'on another configuration: restart or reload pending',
  'cannot-tell': 'cannot tell on which configuration: look again in two minutes',
} as const;

export function liveRows({ state, ringKeyIdHash, tried }: Live): string[][] {
  const { announced, written, runsOnFile, health, ready } = state;
  return [
    ['ready', ready.isGood ? 'yes' : `no: ${ready.text}`],
    ['running', runs[runsOnFile]],
    ['kms-providers', health?.text ?? 'no such check: it uses no KMS'],
    ['key id announced', keyIdText(announced, ringKeyIdHash) ?? 'none since its start'],
    ['key id in use', keyIdText(written, ringKeyIdHash) ?? 'nothing written since its start'],
    ...(tried === undefined ? [] : [['a write just now', triedText(tried)]]),
  ];
}

function keyIdText(at: KeyIdAt | undefined, ringKeyIdHash: string | undefined): string | undefined {
  if (at === undefined) return undefined;
  const whose = at.keyIdHash === ringKeyIdHash ? 'of this ring' : 'NOT the one of this ring';
  return `${at.keyIdHash}, ${whose}, at ${new Date(at.unixMs).toISOString()}`;
}
