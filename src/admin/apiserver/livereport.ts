// What the running API server says, beside this host's ring: for people and for programs.
import type { LiveState } from '../../apiserver/live/livestate.ts';
import type { KeyIdAt } from '../../apiserver/live/metrics.ts';
import { keyIdHash } from '../../keyring/keyid.ts';
import { keyIdOf, type Ring } from '../../keyring/ring.ts';

export interface Live {
  readonly state: LiveState;
  /** Of the ring; undefined where it has no write KEK. */
  readonly ringKeyIdHash: string | undefined;
  /** It runs on the file, is healthy, and has asked for the key id of the ring. */
  readonly isUpToDate: boolean;
}

export function judgeLive(state: LiveState, ring: Ring | undefined): Live {
  const ringKeyIdHash = hashOf(ring);
  const { runsOnFile, health, announced, ready } = state;
  const hasKeyId = ringKeyIdHash !== undefined && announced?.keyIdHash === ringKeyIdHash;
  const isUpToDate = runsOnFile === 'yes' && health?.isGood === true && ready.isGood && hasKeyId;
  return { state, ringKeyIdHash, isUpToDate };
}

/** What is not as it should be; empty where all is. */
export function lackingIn({ state, ringKeyIdHash }: Live): string {
  const { runsOnFile, health, announced, ready } = state;
  const lacks = [
    runsOnFile === 'yes' ? '' : `it runs ${runs[runsOnFile]}`,
    health === undefined || health.isGood ? '' : `its check kms-providers fails: ${health.text}`,
    ready.isGood ? '' : `it is not ready: ${ready.text}`,
    announced?.keyIdHash === ringKeyIdHash
      ? ''
      : 'it has not asked for the key id of this ring yet',
  ];
  return lacks.filter((each) => each !== '').join('; ');
}

function hashOf(ring: Ring | undefined): string | undefined {
  const keyId = ring && keyIdOf(ring);
  return keyId === undefined ? undefined : keyIdHash(keyId);
}

export function liveAsJson(live: Live): object {
  const { state, ringKeyIdHash, isUpToDate } = live;
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
  };
}

const runs = {
  yes: 'on this configuration',
  no: 'on another configuration: restart or reload pending',
  'cannot-tell': 'cannot tell on which configuration: look again in two minutes',
} as const;

export function liveRows({ state, ringKeyIdHash }: Live): string[][] {
  const { announced, written, runsOnFile, health, ready } = state;
  return [
    ['ready', ready.isGood ? 'yes' : `no: ${ready.text}`],
    ['running', runs[runsOnFile]],
    ['kms-providers', health?.text ?? 'no such check: it uses no KMS'],
    ['key id announced', keyIdText(announced, ringKeyIdHash) ?? 'none since its start'],
    ['key id in use', keyIdText(written, ringKeyIdHash) ?? 'nothing written since its start'],
  ];
}

function keyIdText(at: KeyIdAt | undefined, ringKeyIdHash: string | undefined): string | undefined {
  if (at === undefined) return undefined;
  const whose = at.keyIdHash === ringKeyIdHash ? 'of this ring' : 'NOT the one of this ring';
  return `${at.keyIdHash}, ${whose}, at ${new Date(at.unixMs).toISOString()}`;
}
