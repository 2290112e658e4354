// A new PIN waits under a name of its own, beside the one that is kept, while it is not
// known whether the token has it. So whichever PIN a token has is on disk, wherever a
// command was killed. The copy for the recovery key goes the same way, first in and first
// out: where it alone waits, the token has the PIN that is kept.
import { rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { isErrno, removeUnfinished, syncFolder, writeFileAtomically } from '../../files.ts';
import {
  pendingPath,
  pendingSecret,
  readPendingSecret,
  readSecret,
  secretPaths,
} from '../../host/credentials.ts';
import { pinPartPath, wrapPin } from '../../keyring/pinpart.ts';
import type { RecoveryKey } from '../../keyring/recoverypublickey.ts';
import type { PinUser } from '../../providers/pkcs11/refusedpin.ts';
import { daemonReader } from '../../providers/pkcs11/tokenfolder.ts';
import type { KekDescription } from '../../providers/provider.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { sealSecret, settled } from './seal.ts';

export function referenceOf({ pkcs11 }: Config, who: PinUser): string {
  return who === 'so' ? pkcs11.soPin : pkcs11.pin;
}

/** @param recovery for the copy that this key opens */
export async function writePending(
  config: Config,
  who: PinUser,
  pin: string,
  recovery: RecoveryKey | undefined,
): Promise<void> {
  const { token, softhsmConf } = config.pkcs11;
  const reader = who === 'user' ? daemonReader(softhsmConf) : undefined;
  const sealed = await sealSecret(referenceOf(config, who), pin, reader, config.pkcs11);
  if (recovery !== undefined) {
    const part = wrapPin(pin, token, recovery);
    await writeFileAtomically(pendingPath(pinPartPath(config.ring)), part, 0o600);
  }
  const path = pendingPath(sealed.path);
  await writeFileAtomically(path, sealed.contents, sealed.mode, sealed.owner);
}

/** The token has the one that waits. Safe to repeat. */
export async function settlePending(config: Config, who: PinUser): Promise<void> {
  const reference = referenceOf(config, who);
  if (who === 'user') await takePlace(pinPartPath(config.ring));
  for (const path of secretPaths(reference)) await takePlace(path);
  await settled(reference);
}

async function takePlace(path: string): Promise<void> {
  try {
    await rename(pendingPath(path), path);
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return;
    throw new KleidiError('file-failed', `${path} cannot be replaced`, {
      hint: 'check its folder, then run kleidi pin set again: the new PIN is beside it',
      cause,
    });
  }
  await syncFolder(dirname(path));
}

function pathsOf(config: Config, who: PinUser): readonly string[] {
  const parts = who === 'user' ? [pinPartPath(config.ring)] : [];
  return [...secretPaths(referenceOf(config, who)), ...parts];
}

/** The token has the one that is kept. */
async function dropPending(config: Config, who: PinUser): Promise<void> {
  for (const path of pathsOf(config, who)) {
    await rm(pendingPath(path), { force: true });
    const isFolder = await stat(dirname(path)).catch(() => undefined);
    if (isFolder !== undefined) await syncFolder(dirname(path));
  }
}

export type Earlier = 'none' | 'finished' | 'dropped';

/**
 * What a `pin set` that was killed has left is finished, or dropped. The kept PIN is tried
 * first: a token counts wrong ones, and the new one is the more often the wrong one.
 * @throws KleidiError pin-refused where neither opens the token; nothing is changed then
 */
export async function settleEarlier(config: Config, who: PinUser): Promise<Earlier> {
  for (const path of pathsOf(config, who)) await removeUnfinished(pendingPath(path));
  const reference = referenceOf(config, who);
  const waits = pendingSecret(reference);
  const kept = waits === undefined ? undefined : await keptPin(reference);
  if (waits === undefined || (kept !== undefined && (await opens(config, who, kept)))) {
    await dropPending(config, who);
    return waits === undefined ? 'none' : 'dropped';
  }
  const pin = await readPendingSecret(reference);
  if (pin === undefined || !(await opens(config, who, pin))) throw neitherOpens(waits);
  await settlePending(config, who);
  return 'finished';
}

async function keptPin(reference: string): Promise<string | undefined> {
  return readSecret(reference, process.env).catch((error: unknown) => {
    if (error instanceof KleidiError && error.code === 'pin-missing') return undefined;
    throw error;
  });
}

/**
 * One try.
 * @returns the KEKs that it opens the token for, none for the SO PIN; undefined where refused
 * @throws KleidiError what says nothing about the PIN
 */
export async function opens(
  config: Config,
  who: PinUser,
  pin: string,
): Promise<readonly KekDescription[] | undefined> {
  try {
    return await new TokenCommand(config).tryPin(who, pin);
  } catch (error) {
    if (error instanceof KleidiError && error.code === 'pin-refused') return undefined;
    throw error;
  }
}

function neitherOpens(path: string): KleidiError {
  return new KleidiError(
    'pin-refused',
    `the token refuses the PIN that is kept, and the one that waits in ${path}; nothing was changed`,
    {
      hint: `kleidi doctor says whether the token is damaged; where it has a third PIN: move ${path} away, then kleidi pin set`,
    },
  );
}
