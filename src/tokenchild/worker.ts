// The child of a command: runs as the owner of the token folder, and does one job there.

import { mkdir } from 'node:fs/promises';
import { KleidiError } from '../errors.ts';
import { withFileLock } from '../filelock.ts';
import { failureLine } from '../providers/pkcs11/child.ts';
import { Pkcs11Module } from '../providers/pkcs11/module.ts';
import { type PinUser, RefusedPin } from '../providers/pkcs11/refusedpin.ts';
import type { KeyScheme } from '../providers/pkcs11/scheme.ts';
import { schemeOf } from '../providers/pkcs11/schemes.ts';
import { expose, type Pkcs11Settings } from '../providers/pkcs11/settings.ts';
import { Token, type TokenAccess } from '../providers/pkcs11/token.ts';
import { shareWithGroup } from '../providers/pkcs11/tokenfolder.ts';
import { describeKeks, destroyKek } from '../providers/pkcs11/write/creation.ts';
import { initializeToken } from '../providers/pkcs11/write/initialization.ts';
import { changePin, openAs } from '../providers/pkcs11/write/pinchange.ts';
import { onCopy } from '../providers/pkcs11/write/tokencopy.ts';
import { importKeks, requestTransport } from '../providers/pkcs11/write/transfer.ts';
import { isSoftHsm, softHsmFolder } from '../softhsm.ts';
import { print } from '../terminal.ts';
import { createInToken } from './create.ts';
import { openSeeds } from './openseeds.ts';
import {
  type Agree,
  done,
  isGoOn,
  kekLabel,
  type Lines,
  readLines,
  type TokenJob,
  type TokenRequest,
} from './protocol.ts';

/** One job, as the first line on standard input has it. @returns the exit code */
export async function workInToken(): Promise<number> {
  const lines = readLines();
  try {
    const request = (await lines.next()).value as unknown as TokenRequest;
    expose(request.settings);
    answer(await withTokenLock(request, () => perform(request, lines)));
    return 0;
  } catch (error) {
    answer(failureLine(error));
    return 1;
  }
}

/**
 * A command that was killed leaves its child at work for a moment: the next child
 * waits for it. Reading needs no lock, and an HSM has its own; but which PIN it has is not
 * known while a child may still change it.
 */
function withTokenLock<T>({ settings, job }: TokenRequest, work: () => Promise<T>): Promise<T> {
  const folder = softHsmFolder(settings.softhsmConf);
  if (job.kind === 'list' || job.kind === 'open') return work();
  if (folder !== undefined) return withFileLock(folder, work);
  const isPin = job.kind === 'try-pin' || job.kind === 'change-pin';
  return isPin ? withPinLock(settings.runtimeDir, work) : work();
}

async function withPinLock<T>(runtimeDir: string, work: () => Promise<T>): Promise<T> {
  await mkdir(runtimeDir, { recursive: true, mode: 0o700 });
  return withFileLock(runtimeDir, work);
}

async function perform({ settings, pin, job }: TokenRequest, lines: Lines): Promise<object> {
  if (job.kind === 'open') {
    await openSeeds(settings, pin, job.keks, lines, answer);
    return done;
  }
  if (job.kind === 'try-pin') return tryPin(settings, pin, job.who);
  if (job.kind === 'change-pin') {
    // A command that has died meanwhile is not there any more to keep it.
    await agree(lines, done);
    await changePinOf(settings, pin, job).finally(() => shareTokens(settings));
    return done;
  }
  const share = (): Promise<void> => shareTokens(settings);
  const scheme = schemeOf(settings);
  const module = Pkcs11Module.open(settings.module, settings.softhsmConf);
  try {
    if (job.kind === 'initialize') {
      initializeToken(module, settings.token, job.soPin, pin);
      return done;
    }
    const access = accessOf(settings, pin, 'user');
    const token = await Token.open(module, access, scheme.mechanisms);
    return await performOn({ token, scheme }, job, async (message) => {
      await share();
      await agree(lines, message);
    });
  } finally {
    module.close();
    await share();
  }
}

/** Whether the token has this PIN; for the user of it with its KEKs. */
function tryPin(settings: Pkcs11Settings, pin: string, who: PinUser): Promise<object> {
  return onPin(settings, 'forgotten', async (module) => {
    const access = accessOf(settings, pin, who);
    const scheme = schemeOf(settings);
    const { mechanisms } = scheme;
    if (who === 'user')
      return { keks: describeKeks(await Token.open(module, access, mechanisms), scheme) };
    await openAs(module, access, 'so', mechanisms);
    return { keks: [] };
  });
}

async function changePinOf(
  settings: Pkcs11Settings,
  old: string,
  { who, pin }: Extract<TokenJob, { kind: 'change-pin' }>,
): Promise<void> {
  const access = accessOf(settings, old, who);
  const { mechanisms } = schemeOf(settings);
  await onPin(settings, 'kept', (module) => changePin(module, access, who, pin, mechanisms));
  await access.refusedPin.forget(pin);
}

function onPin<T>(
  settings: Pkcs11Settings,
  outcome: 'kept' | 'forgotten',
  work: (module: Pkcs11Module) => Promise<T>,
): Promise<T> {
  const within = async (softhsmConf: string): Promise<T> => {
    const module = Pkcs11Module.open(settings.module, softhsmConf);
    try {
      return await work(module);
    } finally {
      module.close();
    }
  };
  const folder = isSoftHsm(settings.module) ? softHsmFolder(settings.softhsmConf) : undefined;
  return folder === undefined ? within(settings.softhsmConf) : onCopy(folder, outcome, within);
}

function accessOf({ token, runtimeDir }: Pkcs11Settings, pin: string, who: PinUser): TokenAccess {
  return { label: token, pin, refusedPin: new RefusedPin(runtimeDir, who), writable: true };
}

/** The daemon can read all that the parent is told of. */
async function shareTokens({ module, softhsmConf }: Pkcs11Settings): Promise<void> {
  const folder = isSoftHsm(module) ? softHsmFolder(softhsmConf) : undefined;
  if (folder !== undefined) await shareWithGroup(folder);
}

interface OpenToken {
  readonly token: Token;
  readonly scheme: KeyScheme;
}

async function performOn(
  { token, scheme }: OpenToken,
  job: Exclude<TokenJob, { kind: 'initialize' | 'open' | 'try-pin' | 'change-pin' }>,
  agree: Agree,
): Promise<object> {
  switch (job.kind) {
    case 'list':
      return { keks: describeKeks(token, scheme) };
    case 'create':
      await createInToken(token, job, agree);
      return done;
    case 'request':
      return { spki: requestTransport(token, job.renew).spki.toString('base64') };
    case 'import':
      await importKeks(token, kekLabel(job.ring), job.keks, {
        beforePersist: agree,
        beforeTransportKeyDestroyed: () => agree(done),
      });
      return done;
    case 'destroy':
      return { destroyed: destroyKek(token, scheme, job.fp) };
  }
}

/** A parent that has died must not leave a KEK behind that nothing knows of. */
async function agree(lines: Lines, message: object): Promise<void> {
  answer(message);
  const line = await lines.next();
  if (line.done !== true && isGoOn(line.value)) return;
  throw new KleidiError('refused', 'the command ended before its change was kept');
}

function answer(value: object): void {
  print(JSON.stringify(value));
}
