// The answer of the State RPC: what `kleidi status` and `ring digest --live`
// print. From memory, like Status, and without secrets.
import { openableDigest, ringDigest, verifiedPart } from '../keyring/digest.ts';
import { keyIdHash } from '../keyring/keyid.ts';
import type { Keyring } from '../keyring/keyring.ts';
import { version } from '../version.ts';
import type { Callers } from './connections.ts';
import type { KekReport, StateResponse } from './contract.ts';
import type { Live } from './live.ts';

type HealthPart = Pick<
  StateResponse,
  'healthz' | 'failure' | 'failureCode' | 'keyId' | 'keyIdHash'
>;
type RingPart = Pick<
  StateResponse,
  'ring' | 'ringId' | 'generation' | 'keks' | 'digest' | 'openableDigest' | 'providers'
>;

/** All but who calls, which the connections know. */
export type KnownState = Omit<StateResponse, keyof Callers>;

export function stateOf(live: Live): KnownState {
  return {
    version,
    ...healthPart(live),
    ...ringPart(live),
    notices: [...live.notices()],
    pid: process.pid,
    startedUnixMs: live.startedMs,
    selfTestUnixMs: live.selfTestMs,
    tokenVerifiedUnixMs: live.tokenVerifiedMs,
    tokenDamaged: live.tokenDamaged,
  };
}

function healthPart(live: Live): HealthPart {
  const health = live.health();
  if (health.kind === 'serving') {
    const { healthz, keyId } = health;
    return { healthz, failure: '', failureCode: '', keyId, keyIdHash: keyIdHash(keyId) };
  }
  const { error } = health;
  return {
    healthz: '',
    failure: error.publicText,
    failureCode: error.code,
    keyId: '',
    keyIdHash: '',
  };
}

function ringPart(live: Live): RingPart {
  const { keyring } = live;
  if (keyring === undefined) {
    return {
      ring: '',
      ringId: '',
      generation: 0,
      keks: [],
      digest: '',
      openableDigest: '',
      providers: [],
    };
  }
  const verified = verifiedPart(keyring.ring, keyring.verified());
  return {
    ring: keyring.ring.ring,
    ringId: keyring.ring.ringId ?? '',
    generation: keyring.ring.generation,
    keks: kekReports(live, keyring),
    digest: ringDigest(verified),
    openableDigest: openableDigest(verified),
    providers: keyring.providerDescriptions(),
  };
}

function kekReports(live: Live, keyring: Keyring): KekReport[] {
  return keyring.ring.keks.map(({ fp, check, state, provider }) => {
    const use = live.uses.of(fp);
    return {
      fp,
      check,
      state,
      provider,
      verified: keyring.isVerified(fp),
      encrypts: use.encrypts,
      decrypts: use.decrypts,
      lastDecryptUnixMs: use.lastDecryptMs,
      refusedDecrypts: use.refusedDecrypts,
      lastRefusedUnixMs: use.lastRefusedMs,
    };
  });
}
