// kleidi provision: from a bare host to a token, a ring and a first KEK. Each
// step is on disk before the next begins, and each can be done again.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Choices, readChoices } from '../admin/provision/choices.ts';
import { requireNothingProvisioned } from '../admin/provision/offline.ts';
import type { Wish } from '../admin/provision/plan.ts';
import type { ReplaceWish } from '../admin/provision/replace.ts';
import { replaceCases } from '../admin/provision/replacement.ts';
import { provisionHost, requireRecoveryOfRing } from '../admin/provision/steps.ts';
import { type Config, loadConfig } from '../config.ts';
import { KleidiError, usage } from '../errors.ts';
import { machineHash } from '../host/machine.ts';
import { isRingName } from '../keyring/keyid.ts';
import { type RecoveryKey, readRecoveryKey } from '../keyring/recoverypublickey.ts';
import { readRing, withRingLock } from '../keyring/ringfile.ts';
import { warn } from '../terminal.ts';
import { writeApiserverConfig } from './apiserver/config.ts';
import { atMostOne, flag, jsonOption, text, texts, together } from './option.ts';
import type { Parsed } from './parse.ts';
import { confirmKeys, recoveryClaims } from './prompt/confirm.ts';
import { followReplacement, replaceWishOf } from './provisionreplace.ts';
import { reportChoices, reportHost, reportOffline } from './provisionreport.ts';
import { command } from './verb.ts';

const defaultRing = 'kleidi';

const optionTable = {
  ring: text(
    'NAME',
    `name of the ring, the same on every host (default: kleidi). A ring without a KEK, as the
    package may have made it, takes this name`,
  ),
  'token-only': flag('no KEK: it comes from another member with kleidi join'),
  recovery: text(
    'PUB[=SHA256]',
    `also wrap the KEK and the PIN for this offline recovery key; on a host that is
    provisioned: the PIN alone. Its fingerprint is named with it, or asked about on a terminal.`,
  ),
  replace: text(
    'CASE',
    `token, PINs and ring of this host give way to new ones. never-sealed: to begin anew, where
    nothing was sealed. lost-token: its token cannot be used, and another member has its KEKs.
    copied-disk: they are those of another host. What was here is moved to replaced/ beside the ring`,
    replaceCases,
  ),
  forget: texts(
    'FP',
    `with never-sealed: this KEK is given up, for good; on a terminal it is asked about`,
  ),
  'member-ring': text(
    'FILE',
    `with lost-token: what kleidi ring export wrote on another member; where none is left,
    what kleidi backup wrote`,
  ),
  expect: text('DIGEST', 'with --member-ring: the digest of that ring, from there'),
  copied: flag(
    `with copied-disk: this is another host than that of the token; on a terminal its name is
    asked for`,
  ),
  choices: text(
    'FILE',
    `what the package calls: by the choices in FILE (/etc/kleidi/install.conf; not there: the
    defaults), and with the EncryptionConfiguration, which no API server uses yet`,
  ),
  check: flag('with --choices: only say what they are, or which mistakes FILE has'),
  json: jsonOption,
};

export const provision = command({
  changes: true,
  summary: 'PINs, token, ring and first KEK on this host',
  notes: [
    `Makes PINs, a token and a ring on this host, and the first KEK (generation 1). Run again, it
    changes nothing; killed, it goes on where it stopped. Where a part of an earlier one was
    lost it refuses and names the way back, because a new key could not open the old data.`,
  ],
  options: optionTable,
  groups: [
    atMostOne('choices', 'ring'),
    atMostOne('choices', 'token-only'),
    atMostOne('choices', 'recovery'),
    atMostOne('choices', 'replace'),
    together('member-ring', 'expect'),
  ],
  remarks: [
    'In the file of --choices, one KEY=value a line, # before a comment:',
    {
      'ROLE=master|offline': `offline: the machine of the recovery key, which gets no token, ring
      or service; it stands alone then (default: master)`,
      'RING=NAME': 'as --ring',
      'FIRST_KEK=yes|no': 'no: as --token-only (default: yes)',
      'RECOVERY_KEY=/PATH': 'as --recovery, with the next one',
      'RECOVERY_FINGERPRINT=SHA256': 'the whole fingerprint that kleidi recovery create has shown',
    },
    'All mistakes are reported at once, with exit code 78; nothing is provisioned then.',
  ],
  example: 'kleidi provision --ring prod --recovery recovery.pub=SHA256',
  run: provisionThis,
});

type Options = Parsed<typeof optionTable>;

async function provisionThis(options: Options): Promise<number> {
  const file = options.text('choices');
  if (file !== undefined) return provisionChosen(file, options);
  if (options.flag('check')) throw usage('--check is for --choices FILE');
  const config = loadConfig(options.configPath);
  const recovery = await readRecovery(options.text('recovery'));
  const replace = await replaceWishOf(options, config);
  return provisionMaster(config, wishOf(options, config), { recovery, replace }, options.json);
}

async function provisionChosen(file: string, { flag, configPath, json }: Options): Promise<number> {
  const choices = await readChoices(file);
  if (flag('check')) {
    reportChoices(choices, json);
    return 0;
  }
  const config = loadConfig(configPath);
  if (choices.role === 'offline') {
    requireNothingProvisioned(config);
    reportOffline(config, json);
    return 0;
  }
  const exitCode = await provisionMaster(config, chosen(choices, config), choices, json);
  await writeApiserverConfig(config).catch(warnOfApiserverConfig);
  return exitCode;
}

interface Given {
  readonly recovery: RecoveryKey | undefined;
  readonly replace?: ReplaceWish | undefined;
}

async function provisionMaster(
  config: Config,
  wish: Wish,
  { recovery, replace }: Given,
  json: boolean,
): Promise<number> {
  if (recovery !== undefined) {
    const pinned =
      replace === undefined ? await requireRecoveryOfRing(config, recovery) : undefined;
    await confirmKeys(recoveryClaims(recovery, pinned));
  }
  await mkdir(dirname(config.ring), { recursive: true, mode: 0o750 });
  const outcome = await withRingLock(config.ring, () =>
    provisionHost(config, wish, recovery, replace),
  );
  const ring = await readRing(config.ring);
  reportHost({ ring, outcome, recovery, pin: config.pkcs11.pin }, json);
  if (replace !== undefined) await followReplacement(config, ring, replace);
  return 0;
}

function wishOf(options: Options, config: Config): Wish {
  const named = options.text('ring');
  if (named !== undefined && !isRingName(named))
    throw usage(`'${named}' is no ring name: 1 to 63 of a-z 0-9 and inner hyphens`);
  const tokenOnly = options.flag('token-only');
  return { ...ringWish(named, config), kekNamed: named !== undefined, tokenOnly };
}

function chosen({ ring, firstKek }: Extract<Choices, { role: 'master' }>, config: Config): Wish {
  return {
    ...ringWish(ring, config),
    kekNamed: ring !== undefined || firstKek === true,
    tokenOnly: firstKek === false,
  };
}

function ringWish(
  named: string | undefined,
  config: Config,
): Pick<Wish, 'ring' | 'ringNamed' | 'token' | 'machine'> {
  return {
    ring: named ?? defaultRing,
    ringNamed: named !== undefined,
    token: config.pkcs11.token,
    machine: machineHash(),
  };
}

async function readRecovery(file: string | undefined): Promise<RecoveryKey | undefined> {
  return file === undefined ? undefined : readRecoveryKey(file);
}

/** The host is provisioned all the same, and `apiserver enable` makes what is missing. */
function warnOfApiserverConfig(thrown: unknown): void {
  const { message } = KleidiError.from(thrown);
  warn(`${message}; the EncryptionConfiguration is made by kleidi apiserver config --write, too`);
}
