// kleidi key create | list: makes a KEK on this host, and shows what there is
// in ring and token.
import { type Config, loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { type RecoveryKey, readRecoveryKey } from '../keyring/recipient.ts';
import type { Ring } from '../keyring/ring.ts';
import { readRing, withRingLock, writeRing } from '../keyring/ringfile.ts';
import { stage } from '../keyring/transitions.ts';
import type { KekDescription } from '../providers/provider.ts';
import { createKek } from './createkek.ts';
import { print, printJson, table, warn } from './terminal.ts';
import { TokenCommand } from './tokencommand.ts';
import { parse, usage, type Verb } from './verb.ts';

export const key: Verb = {
  help: `usage: kleidi key create [--recovery PUB[=SHA256]] [--json]
       kleidi key list [--json]

create   a new KEK, kept in the token of this host as staged: it decrypts, and is
         not written with before it is promoted.
list     every KEK of ring and token, with its attributes.

  --recovery PUB   also wrap the KEK for this offline public key (PEM). With
                   =SHA256 a key with another fingerprint is refused.

example: kleidi key create --recovery recovery.pub`,

  async run(args) {
    const [action, ...rest] = args;
    if (action === 'create') return create(rest);
    if (action === 'list') return list(rest);
    throw usage(action === undefined ? 'create or list?' : `unknown action '${action}'`);
  },
};

async function create(args: readonly string[]): Promise<number> {
  const options = parse(args, { recovery: 'text' });
  const config = loadConfig(options.configPath);
  const file = options.text('recovery');
  const recovery = file === undefined ? undefined : await readRecoveryKey(file);
  const kek = await withRingLock(config.ring, () => createStaged(config, recovery));
  if (options.json) printJson({ fp: kek.fp, state: 'staged', recovery: kek.recovery });
  else print(`KEK ${kek.fp} is staged`);
  if (recovery === undefined) {
    warn('this KEK has no recovery: if the token is lost, so is everything sealed under it');
  } else if (file === undefined || !file.includes('=')) {
    warn(
      `wrapped for recovery key sha256:${recovery.fingerprint}: compare it with the one on paper`,
    );
  }
  return 0;
}

async function createStaged(config: Config, recovery: RecoveryKey | undefined) {
  const ring = await readRing(config.ring);
  requirePinned(ring, recovery);
  const kek = await createKek(config, ring.ring, recovery);
  await writeRing(config.ring, stage(ring, kek));
  return kek;
}

/** The first recovery key is pinned: another one could be an attacker's. */
function requirePinned(ring: Ring, recovery: RecoveryKey | undefined): void {
  const pinned = ring.keks.find((kek) => kek.recovery !== null)?.recovery;
  if (pinned === undefined || pinned === null) return;
  if (recovery?.fingerprint === pinned) return;
  throw new KleidiError(
    'refused',
    recovery === undefined
      ? 'this ring has a recovery key, and the new KEK would have none'
      : `this is not the recovery key of the ring: it is sha256:${recovery.fingerprint}`,
    { hint: `name the recovery key with fingerprint sha256:${pinned} by --recovery` },
  );
}

async function list(args: readonly string[]): Promise<number> {
  const { configPath, json } = parse(args, {});
  const config = loadConfig(configPath);
  const ring = await readRing(config.ring);
  const keks = merge(ring, await new TokenCommand(config).list());
  if (json) printJson(keks);
  else print(table([['FINGERPRINT', 'RING', 'TOKEN', 'NOTE'], ...keks.map(row)]));
  return 0;
}

interface Listed {
  readonly fp: string;
  readonly state: string | null;
  readonly inToken: boolean;
  readonly sensitive: boolean | null;
  readonly extractable: boolean | null;
}

function merge(ring: Ring, held: readonly KekDescription[]): Listed[] {
  const fps = new Set([...ring.keks, ...held].map((kek) => kek.fp));
  return [...fps].map((fp) => {
    const object = held.find((kek) => kek.fp === fp);
    return {
      fp,
      state: ring.keks.find((kek) => kek.fp === fp)?.state ?? null,
      inToken: object !== undefined,
      sensitive: object?.sensitive ?? null,
      extractable: object?.extractable ?? null,
    };
  });
}

function row(kek: Listed): string[] {
  const notes: string[] = [];
  if (!kek.inToken) notes.push('not in the token of this host');
  if (kek.state === null) notes.push('not in the ring: left by an interrupted command, or foreign');
  if (kek.extractable === true) notes.push('EXTRACTABLE: whoever has the PIN can copy it');
  if (kek.sensitive === false) notes.push('NOT SENSITIVE: whoever has the PIN can read it');
  return [kek.fp, kek.state ?? '-', kek.inToken ? 'yes' : 'NO', notes.join('; ')];
}
