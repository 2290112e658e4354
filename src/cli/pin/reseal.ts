// kleidi pin reseal: binds the PINs of this host as the configuration says now.
import { bindingDue, type Resealed, reseal } from '../../admin/pin/reseal.ts';
import { requireTokenInUse } from '../../admin/pin/wanted.ts';
import { type Config, loadConfig } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { withRingLock } from '../../keyring/ringfile.ts';
import { print, printJson, warn } from '../../terminal.ts';
import { bindingWords } from '../bindingwords.ts';
import { flag, jsonOption } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { command } from '../verb.ts';

const optionTable = {
  check: flag(`changes nothing: exit code 1 where one is not sealed to what pkcs11.pinBinding says;
    PCRs are not compared`),
  json: jsonOption,
};

export const pinReseal = command({
  changes: true,
  summary: 'binds the sealed PINs anew: to the TPM, other PCRs, or the disk alone',
  notes: [
    `As pkcs11.pinBinding and pkcs11.pinPcrs say: for a machine that has got a TPM since, or
    before an update that changes a PCR. PIN and SO PIN stay what they are, the old seal must
    still open, and the new one is opened before it takes its place. The running daemon is left
    alone. Where the old seal does not open any more: lost TPM in operations.md.`,
  ],
  options: optionTable,
  example: 'kleidi pin reseal',
  run: resealPins,
});

async function resealPins(options: Parsed<typeof optionTable>): Promise<number> {
  const config = loadConfig(options.configPath);
  if (options.flag('check')) return checkBinding(config, options.json);
  await requireTokenInUse(config);
  const [pin, soPin] = await withRingLock(config.ring, async () => [
    await reseal(config, 'user'),
    await resealSoPin(config),
  ]);
  if (pin === undefined && soPin === undefined) throw nothingSealed();
  if (options.json) {
    printJson({ pin: pin ?? null, soPin: soPin ?? null });
    return 0;
  }
  report('PIN', pin);
  report('SO PIN', soPin);
  return 0;
}

async function checkBinding(config: Config, json: boolean): Promise<number> {
  const [pin, soPin] = [await bindingDue(config, 'user'), await bindingDue(config, 'so')];
  const isDue = [pin, soPin].some((each) => each !== undefined && each.before !== each.after);
  if (json) printJson({ pin: pin ?? null, soPin: soPin ?? null, due: isDue });
  else print(isDue ? 'due: kleidi pin reseal' : 'sealed as the configuration says');
  return isDue ? 1 : 0;
}

/** Only a new token needs it: one that is lost with a TPM holds up nothing. */
async function resealSoPin(config: Config): Promise<Resealed | undefined> {
  try {
    return await reseal(config, 'so');
  } catch (error) {
    if (!(error instanceof KleidiError) || error.code !== 'pin-missing') throw error;
    warn(`the SO PIN stays as it is: ${error.message}`);
    return undefined;
  }
}

function report(name: string, resealed: Resealed | undefined): void {
  if (resealed === undefined) return;
  const { before, after } = resealed;
  const was = before === after ? 'as before' : `before: ${bindingWords(before)}`;
  print(`${name}: sealed to ${bindingWords(after)} (${was})`);
}

function nothingSealed(): KleidiError {
  return new KleidiError('refused', 'no PIN of this host is a sealed credential', {
    hint: 'pkcs11.pin and pkcs11.soPin say where they are: a file: PIN is sealed by nobody',
  });
}
