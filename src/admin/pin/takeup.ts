// How the running daemon comes to a new PIN: a credential only comes to a new process, so
// its unit is restarted, while systemd holds the socket and clients wait in it.
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Config, defaultConfigPath } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { showUnit } from '../../host/systemctl.ts';
import type { StateResponse } from '../../kms/contract.ts';
import { stateIfAny } from '../follow.ts';

const unitName = 'kleidi.service';
/** Longer than TimeoutStopSec= and TimeoutStartSec= of the unit. */
const restartTimeoutMs = 90_000;
const patienceMs = 30_000;
const everyMs = 100;

/**
 * The daemon as it is before its PIN is changed. One that systemd cannot start has no
 * answer, though its socket is held: it may be the PIN that it lacks.
 * @throws KleidiError no-answer, token-damaged, refused: it must not be restarted
 */
export async function stateBeforePin(config: Config): Promise<StateResponse | undefined> {
  const state = await stateIfAny(config).catch(async (error: unknown) => {
    const unit = await showUnit(unitName, ['ActiveState']);
    if (unit === undefined || unit['ActiveState'] === 'active') throw error;
    return undefined;
  });
  if (state?.ringRefused !== true) return state;
  throw new KleidiError(
    'refused',
    'the ring on disk is not what the daemon serves, so that it must not be restarted; nothing was changed',
    { hint: 'restore the ring first: kleidi status' },
  );
}

/**
 * `unsupervised`: a daemon runs that is not the unit of this host: it reads a `file:` PIN
 * whenever it opens the token.
 */
export type TakenUp = 'restarted' | 'no-daemon' | 'unsupervised';

/** @throws KleidiError change-not-applied; the PIN is kept by then */
export async function takeUpPin(
  config: Config,
  configPath: string,
  before: StateResponse | undefined,
): Promise<TakenUp> {
  const unit = await showUnit(unitName, ['LoadState', 'ActiveState', 'MainPID']);
  const isOurs =
    unit?.['LoadState'] === 'loaded' &&
    (before === undefined
      ? configPath === defaultConfigPath
      : unit['MainPID'] === String(before.pid));
  if (!isOurs) return before === undefined ? 'no-daemon' : 'unsupervised';
  // Stopped by somebody who wants it so.
  if (unit['ActiveState'] === 'inactive') return 'no-daemon';
  await restart();
  await awaitServing(config, before);
  return 'restarted';
}

async function restart(): Promise<void> {
  try {
    await promisify(execFile)('systemctl', ['restart', unitName], { timeout: restartTimeoutMs });
  } catch (cause) {
    throw notApplied('kleidi.service could not be restarted', cause);
  }
}

/** A daemon that had another fault may have it still. */
async function awaitServing(config: Config, before: StateResponse | undefined): Promise<void> {
  let last: StateResponse | undefined;
  const endMs = performance.now() + patienceMs;
  for (; performance.now() < endMs; await sleep(everyMs)) {
    last = (await stateIfAny(config).catch(() => undefined)) ?? last;
    if (last !== undefined && last.pid !== before?.pid && isUp(last, before)) return;
  }
  const why = last === undefined ? 'it does not answer' : last.failure || 'it was not restarted';
  throw notApplied(`the daemon does not serve with the new PIN: ${why}`);
}

function isUp(now: StateResponse, before: StateResponse | undefined): boolean {
  if (now.failureCode === '') return true;
  const hasPin = !['starting', 'pin-missing', 'pin-refused'].includes(now.failureCode);
  return hasPin && before !== undefined && before.failureCode !== '';
}

function notApplied(what: string, cause?: unknown): KleidiError {
  return new KleidiError('change-not-applied', `the new PIN is kept, but ${what}`, {
    hint: 'see kleidi status and journalctl -u kleidi, then: systemctl restart kleidi',
    cause,
  });
}
