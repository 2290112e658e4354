// The child of a command: runs as the owner of the token folder, and does one job there.

import { KleidiError } from '../errors.ts';
import { withFileLock } from '../filelock.ts';
import { failureLine } from '../providers/pkcs11/child.ts';
import { Pkcs11Module } from '../providers/pkcs11/module.ts';
import { RefusedPin } from '../providers/pkcs11/refusedpin.ts';
import type { Pkcs11Settings } from '../providers/pkcs11/settings.ts';
import { Token } from '../providers/pkcs11/token.ts';
import { shareWithGroup } from '../providers/pkcs11/tokenfolder.ts';
import { describeKeks, destroyKek } from '../providers/pkcs11/write/creation.ts';
import { initializeToken } from '../providers/pkcs11/write/initialization.ts';
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
    answer(await withTokenLock(request, () => perform(request, lines)));
    return 0;
  } catch (error) {
    answer(failureLine(error));
    return 1;
  }
}

/**
 * A command that was killed leaves its child at work for a moment: the next child
 * waits for it. Reading needs no lock, and an HSM has its own.
 */
function withTokenLock<T>({ settings, job }: TokenRequest, work: () => Promise<T>): Promise<T> {
  const folder = softHsmFolder(settings.softhsmConf);
  const isReading = job.kind === 'list' || job.kind === 'open';
  return isReading || folder === undefined ? work() : withFileLock(folder, work);
}

async function perform({ settings, pin, job }: TokenRequest, lines: Lines): Promise<object> {
  if (job.kind === 'open') {
    await openSeeds(settings, pin, job.keks, lines, answer);
    return done;
  }
  const share = (): Promise<void> => shareTokens(settings);
  const module = Pkcs11Module.open(settings.module, settings.softhsmConf);
  try {
    if (job.kind === 'initialize') {
      initializeToken(module, settings.token, job.soPin, pin);
      return done;
    }
    const refusedPin = new RefusedPin(settings.runtimeDir);
    const access = { label: settings.token, pin, refusedPin, writable: true };
    return await performOn(await Token.open(module, access), job, async (message) => {
      await share();
      await agree(lines, message);
    });
  } finally {
    module.close();
    await share();
  }
}

/** The daemon can read all that the parent is told of. */
async function shareTokens({ module, softhsmConf }: Pkcs11Settings): Promise<void> {
  const folder = isSoftHsm(module) ? softHsmFolder(softhsmConf) : undefined;
  if (folder !== undefined) await shareWithGroup(folder);
}

async function performOn(
  token: Token,
  job: Exclude<TokenJob, { kind: 'initialize' | 'open' }>,
  agree: Agree,
): Promise<object> {
  switch (job.kind) {
    case 'list':
      return { keks: describeKeks(token) };
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
      return { destroyed: destroyKek(token, job.fp) };
  }
}

/** A parent that has died must not leave a KEK behind that nothing knows of. */
async function agree(lines: Lines, message: object): Promise<void> {
  answer(message);
  const line = await lines.next();
  if (line.done !== true && isGoOn(line.value)) return;
  throw new KleidiError('refused', 'the command ended before the KEK was kept');
}

function answer(value: object): void {
  print(JSON.stringify(value));
}
