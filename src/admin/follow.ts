// What the running daemon has to say before a ring is changed, and whether it
// has taken up the change afterwards. A host without a daemon is fine: it reads
// the ring when it starts.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { keyIdOf, type Ring } from '../keyring/ring.ts';
import type { StateResponse } from '../kms/contract.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { askState } from './daemonclient.ts';

const patienceMs = 10_000;
const everyMs = 100;

/** Undefined where no daemon runs. @throws KleidiError no-answer: whether one runs cannot be told */
export async function stateIfAny({ socket }: Config): Promise<StateResponse | undefined> {
  try {
    return await askState(socket);
  } catch (error) {
    if (error instanceof KleidiError && error.code === 'not-running') return undefined;
    throw error;
  }
}

/**
 * The daemon before this host's ring or token is changed; undefined where none runs. While
 * the disk no longer holds what it serves from memory, any change could cost the last copy
 * of a key.
 * @throws KleidiError token-damaged; no-answer, as `stateIfAny`
 */
export async function stateBeforeChange(config: Config): Promise<StateResponse | undefined> {
  const state = await stateIfAny(config);
  if (state?.tokenDamaged !== true) return state;
  throw new KleidiError(
    'token-damaged',
    'the token on disk is damaged: the daemon serves from memory; nothing was changed',
    { hint: 'restore the token folder first, and do not restart kleidi: kleidi status' },
  );
}

/**
 * Waits until the daemon has this ring in use, and these KEKs ready; returns false
 * where none runs.
 * @throws KleidiError change-not-applied; the ring is written by then
 */
export async function awaitDaemon(
  config: Config,
  ring: Ring,
  before: StateResponse | undefined,
  ready: readonly Fingerprint[] = [],
): Promise<boolean> {
  if (before === undefined) return false;
  let last: StateResponse | undefined;
  const endMs = performance.now() + patienceMs;
  for (; performance.now() < endMs; await sleep(everyMs)) {
    // It may be restarting: then it answers a moment later.
    last = (await stateIfAny(config).catch(() => undefined)) ?? last;
    if (last !== undefined && follows(last, ring, ready)) return true;
  }
  throw new KleidiError('change-not-applied', notFollowed(last, ring), {
    hint: 'the ring file is changed: see kleidi status and journalctl -u kleidi, then run the same command again',
  });
}

function follows(state: StateResponse, ring: Ring, ready: readonly Fingerprint[]): boolean {
  if (state.ring !== ring.ring || state.generation !== ring.generation) return false;
  const verified = new Set(state.keks.filter((kek) => kek.verified).map((kek) => kek.fp));
  if (!ready.every((fp) => verified.has(fp))) return false;
  const shown = (keks: readonly { fp: string; state: string }[]): string =>
    keks
      .map((kek) => `${kek.fp} ${kek.state}`)
      .sort()
      .join();
  // A daemon that cannot write for another reason has the ring in use all the same.
  const isAnnounced = ready.length > 0 || state.keyId === (keyIdOf(ring) ?? '');
  return isAnnounced && shown(state.keks) === shown(ring.keks);
}

function notFollowed(state: StateResponse | undefined, ring: Ring): string {
  const due = keyIdOf(ring) ?? 'the ring';
  const says = state === undefined ? ['it does not answer'] : [state.failure, ...state.notices];
  const told = says.filter((text) => text !== '').join('; ');
  const seconds = patienceMs / 1000;
  return `the daemon has not taken up ${due} within ${seconds} s${told === '' ? '' : `: ${told}`}`;
}
