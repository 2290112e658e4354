// Doctor's group ring: the ring file, what it says against what the token
// holds, and against what the running daemon has loaded.
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isUnretired, type Ring, writeKekOf } from '../keyring/ring.ts';
import { missingKeks } from '../providers/kekidentity.ts';
import { daemonReader } from '../providers/pkcs11/tokenfolder.ts';
import { type Check, type Findings, fail, ok, type Subject, tokenInUse, warn } from './check.ts';
import { modeFinding, statOf, unreadableFinding } from './filemode.ts';
import { ownerFindings } from './owners.ts';

const fewMiB = 64;

export const ring: Check = {
  group: 'ring',
  needs: 'config',

  async run(subject) {
    const path = subject.config().ring;
    const found = await subject.ring();
    return [
      ok(`ring ${found.ring}, generation ${found.generation}, KEKs: ${found.keks.length}`),
      fileFindings(path, subject.config().pkcs11.softhsmConf),
      ownerFindings(subject.config()),
      await spaceFinding(dirname(path)),
      writeFinding(found),
      await tokenFindings(subject, found),
      await daemonFinding(subject, found),
    ];
  },
};

function fileFindings(path: string, softhsmConf: string): Findings {
  const found = statOf(path);
  if (found === undefined) return undefined;
  const unreadable = unreadableFinding(
    path,
    found,
    daemonReader(softhsmConf),
    ({ gid }) => `chgrp ${gid} ${path}; chmod 0640 ${path}`,
  );
  return [modeFinding(path, found, 0o644), unreadable];
}

/** A full disk refuses each change of ring and token, and nothing says so before. */
async function spaceFinding(folder: string): Promise<Findings> {
  const found = await statfs(folder).catch(() => undefined);
  if (found === undefined) return undefined;
  const freeMiB = Math.floor((found.bavail * found.bsize) / 2 ** 20);
  const what = `${freeMiB} MiB are left for ${folder}`;
  const todo = 'make room on that disk: no ring, token or backup can be changed without';
  if (freeMiB < fewMiB) return freeMiB === 0 ? fail(what, todo) : warn(what, todo);
  return undefined;
}

function writeFinding(found: Ring): Findings {
  if (writeKekOf(found) !== undefined) return undefined;
  return fail(
    'the ring has no write KEK: nothing can be sealed',
    'kleidi key create or join, then key promote',
  );
}

/** The token's own group says it where the token cannot be opened. */
async function tokenFindings(subject: Subject, found: Ring): Promise<Findings> {
  const held = (await tokenInUse(subject))
    ? await subject.keks().catch(() => undefined)
    : undefined;
  if (held === undefined) return undefined;
  const inRing = new Set(found.keks.map(({ fp }) => fp));
  const wanted = found.keks.filter((kek) => isUnretired(kek) && kek.provider === 'pkcs11');
  const missing = missingKeks(wanted, held);
  const foreign = held.filter(({ fp }) => !inRing.has(fp));
  return [
    missing.map(({ fp, state }) =>
      fail(
        `the token lacks KEK ${fp} (${state})`,
        'kleidi key request here, kleidi recovery rewrap --ring offline, kleidi join here; or restore the token',
      ),
    ),
    foreign.map(({ fp }) =>
      warn(
        `KEK ${fp} is in the token but not in the ring: left by an interrupted command, or foreign`,
        'kleidi ring adopt where another member lists it; else leave it',
      ),
    ),
  ];
}

async function daemonFinding(subject: Subject, found: Ring): Promise<Findings> {
  const state = await subject.state().catch(() => undefined);
  if (state === undefined || state.ring === '') return undefined;
  if (state.ring === found.ring && state.generation === found.generation) return undefined;
  const what = `the daemon serves ring ${state.ring}, generation ${state.generation}, not what the file says`;
  return fail(what, 'do not restart kleidi; journalctl -u kleidi -x says why it refuses the file');
}
