// kleidi pin set: another PIN for this host's token, taken up without losing a call.

import { stateBeforeChange } from '../../admin/follow.ts';
import { type Earlier, settleEarlier } from '../../admin/pin/pending.ts';
import { randomPin } from '../../admin/pin/seal.ts';
import { changePin, keepPin } from '../../admin/pin/set.ts';
import { stateBeforePin, type TakenUp, takeUpPin } from '../../admin/pin/takeup.ts';
import { recoveryForPin, requireTokenInUse } from '../../admin/pin/wanted.ts';
import { type Config, loadConfig } from '../../config.ts';
import { usage } from '../../errors.ts';
import { pinnedRecovery } from '../../keyring/recoverypublickey.ts';
import { readRingIfAny, withRingLock } from '../../keyring/ringfile.ts';
import type { StateResponse } from '../../kms/contract.ts';
import type { PinUser } from '../../providers/pkcs11/refusedpin.ts';
import { note, print, printJson } from '../../terminal.ts';
import { flag, jsonOption, text } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { isAnswerable } from '../prompt/ask.ts';
import { confirmKeys, recoveryClaims } from '../prompt/confirm.ts';
import { askNewPin, pipedPin } from '../prompt/newpin.ts';
import { command } from '../verb.ts';

const optionTable = {
  change: flag('give the token the new PIN; without, it has that one already'),
  random: flag('with --change: 192 random bits, which nobody sees'),
  so: flag('the SO PIN instead, which the daemon does not use'),
  recovery: text(
    'PUB[=SHA256]',
    `the recovery key that the PIN is wrapped for as well (default: RECOVERY_KEY of
    /etc/kleidi/install.conf); must be named where pin.recovery.json exists`,
  ),
  json: jsonOption,
};

export const pinSet = command({
  changes: true,
  summary: 'keeps a new PIN, and has the daemon use it',
  notes: [
    `Asks for the new PIN twice, or takes one line from a pipe. It is tried against the token,
    once, and kept where the old one was; refused, it changes nothing. Then kleidi.service is
    restarted on its socket: no call is lost. With --change the new PIN is on disk before the
    token has it. Killed, the same command finishes it or drops it, with or without a new PIN.`,
  ],
  options: optionTable,
  example: 'kleidi pin set --change --random',
  run: setPin,
});

type Options = Parsed<typeof optionTable>;
type Outcome = 'kept' | 'changed' | Exclude<Earlier, 'none'>;

async function setPin(options: Options): Promise<number> {
  const [who, isRandom] = [whoOf(options), options.flag('random')];
  if (isRandom && !options.flag('change')) throw usage('--random is for --change');
  if (who === 'so' && options.text('recovery') !== undefined)
    throw usage('--recovery is not for --so: the SO PIN is not wrapped');
  const config = loadConfig(options.configPath);
  await requireTokenInUse(config);
  const piped = isRandom ? undefined : await pipedPin();
  const state = await stateBeforePin(config);
  const earlier = await withRingLock(config.ring, () => settleEarlier(config, who));
  if (earlier !== 'none') note(`a change of the PIN that was interrupted is ${earlier}`);
  const outcome = await (isEnough(earlier, piped, isRandom)
    ? earlier
    : goOn(options, config, { who, piped, state }));
  const taken =
    who === 'so' || outcome === 'dropped'
      ? undefined
      : await takeUpPin(config, options.configPath, state);
  report(outcome, who, taken, options.json);
  return 0;
}

/** Without a new PIN there is nothing else to do; one that is typed is not asked for then. */
function isEnough(
  earlier: Earlier,
  piped: string | undefined,
  isRandom: boolean,
): earlier is Exclude<Earlier, 'none'> {
  if (earlier === 'none' || piped !== undefined) return false;
  return earlier === 'finished' || !(isRandom || isAnswerable());
}

function whoOf(options: Options): PinUser {
  return options.flag('so') ? 'so' : 'user';
}

interface Given {
  readonly who: PinUser;
  readonly piped: string | undefined;
  readonly state: StateResponse | undefined;
}

async function goOn(
  options: Options,
  config: Config,
  { who, piped, state }: Given,
): Promise<Outcome> {
  const isChange = options.flag('change');
  // A daemon that has the old PIN calls the token damaged once another has changed it.
  if (isChange || who === 'so') await stateBeforeChange(config);
  const recovery =
    who === 'so' ? undefined : await recoveryForPin(config, options.text('recovery'));
  const ring = await readRingIfAny(config.ring);
  await confirmKeys(recoveryClaims(recovery, ring && pinnedRecovery(ring)));
  const name = who === 'so' ? 'SO PIN' : 'PIN';
  const pin = options.flag('random') ? randomPin() : (piped ?? (await askNewPin(name)));
  const wish = { who, pin, recovery, state };
  await withRingLock(config.ring, () =>
    isChange ? changePin(config, wish) : keepPin(config, wish),
  );
  return isChange ? 'changed' : 'kept';
}

const meanings: Readonly<Record<Outcome, string>> = {
  kept: 'the token opens with the new PIN, which is kept now',
  changed: 'the token has the new PIN, which is kept now',
  finished: 'the token has the PIN of the change that was interrupted, which is kept now',
  dropped: 'the token has its old PIN: the change that was interrupted is dropped',
};

const uptakes: Readonly<Record<TakenUp, string>> = {
  restarted: 'kleidi.service was restarted, and serves with it',
  'no-daemon': 'no daemon runs',
  unsupervised:
    'the running daemon is not kleidi.service: it serves on, and reads a file: PIN when it opens the token next; one that was given as a credential wants a restart of its own',
};

function report(outcome: Outcome, who: PinUser, taken: TakenUp | undefined, json: boolean): void {
  if (json) {
    printJson({ pin: who, outcome, daemon: taken ?? null });
    return;
  }
  print(who === 'so' ? meanings[outcome].replaceAll('PIN', 'SO PIN') : meanings[outcome]);
  if (taken !== undefined) print(uptakes[taken]);
}
