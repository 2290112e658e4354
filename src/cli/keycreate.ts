// kleidi key create: a new KEK, kept in the token of this host as staged.
import { type Config, loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { type RecoveryKey, readRecoveryKey } from '../keyring/recipient.ts';
import type { Ring } from '../keyring/ring.ts';
import { readRing, withRingLock, writeRing } from '../keyring/ringfile.ts';
import { stage } from '../keyring/transitions.ts';
import { createKek } from './createkek.ts';
import { print, printJson, warn } from './terminal.ts';
import { parse, type Verb } from './verb.ts';

export const keyCreate: Verb = {
  help: `usage: kleidi key create [--recovery PUB[=SHA256]] [--json]

A new KEK, kept in the token of this host as staged: it decrypts, and is not
written with before it is promoted.

  --recovery PUB   also wrap the KEK for this offline public key (PEM). With
                   =SHA256 a key with another fingerprint is refused.

example: kleidi key create --recovery recovery.pub`,
  run: create,
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
