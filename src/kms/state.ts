// The answer of the State RPC: what `kleidi status` and `ring digest --live`
// print. From memory, like Status, and without secrets.
import { openableDigest, ringDigest, verifiedPart } from '../keyring/digest.ts';
import { keyIdHash } from '../keyring/keyid.ts';
import type { Keyring } from '../keyring/keyring.ts';
import { version } from '../version.ts';
import type { Callers } from './connections.ts';
import type { KekReport, StateResponse } from './contract.ts';
import type { Serving } from './serving.ts';

/** All but who calls, which the connections know. */
export type KnownState = Omit<StateResponse, keyof Callers>;

export function stateOf(serving: Serving): KnownState {
  return {
    version,
    ...healthPart(serving),
    ...ringPart(serving),
    notices: [...serving.notices()],
    pid: process.pid,
    startedUnixMs: serving.startedMs,
    selfTestUnixMs: serving.selfTestMs,
    tokenVerifiedUnixMs: serving.tokenVerifiedMs,
    tokenDamaged: serving.tokenDamaged,
    ringRefused: serving.ringRefused,
  };
}

function healthPart(serving: Serving) {
  const health = serving.health();
  if (health.kind === 'serving') {
    const { healthz, keyId } = health;
    return { healthz, failure: '', failureCode: '', keyId, keyIdHash: keyIdHash(keyId) };
  }
  const { error } = health;
  const none = { healthz: '', keyId: '', keyIdHash: '' };
  return { ...none, failure: error.publicText, failureCode: error.code };
}

function ringPart(serving: Serving) {
  const { keyring } = serving;
  if (keyring === undefined) {
    const names = { ring: '', ringId: '', digest: '', openableDigest: '' };
    return { ...names, generation: 0, keks: [], providers: [] };
  }
  const verified = verifiedPart(keyring.ring, keyring.verified());
  return {
    ring: keyring.ring.ring,
    ringId: keyring.ring.ringId ?? '',
    generation: keyring.ring.generation,
    keks: kekReports(serving, keyring),
    digest: ringDigest(verified),
    openableDigest: openableDigest(verified),
    providers: keyring.providerDescriptions(),
  };
}

function kekReports(serving: Serving, keyring: Keyring): KekReport[] {
  return keyring.ring.keks.map(({ fp, check, state, provider }) => ({
    ...{ fp, check, state, provider, verified: keyring.isVerified(fp) },
    ...serving.uses.of(fp),
  }));
}
