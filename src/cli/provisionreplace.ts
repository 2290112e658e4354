// kleidi provision --replace: the operator's part of the proof, given as options or typed at a
// terminal, and what comes after it.
import { hostname } from 'node:os';
import { awaitDaemon, stateIfAny } from '../admin/follow.ts';
import { parseFingerprint } from '../admin/keys/held.ts';
import { keksToForget } from '../admin/provision/neversealed.ts';
import { readRecord } from '../admin/provision/record.ts';
import type { ReplaceWish } from '../admin/provision/replace.ts';
import { isReplaceCase, type ReplaceCase } from '../admin/provision/replacement.ts';
import { expectedRing } from '../admin/ring/expecteddigest.ts';
import type { Config } from '../config.ts';
import { usage } from '../errors.ts';
import type { Ring } from '../keyring/ring.ts';
import type { StateResponse } from '../kms/contract.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { note } from '../terminal.ts';
import { isAnswerable } from './prompt/ask.ts';
import { requireTyped } from './prompt/confirmation.ts';

interface Options {
  readonly text: (name: 'replace' | 'member-ring' | 'expect') => string | undefined;
  readonly texts: (name: 'forget') => readonly string[];
  readonly flag: (name: 'copied' | 'token-only') => boolean;
}

/** Undefined where nothing is to be replaced. @throws KleidiError usage, refused, no-answer */
export async function replaceWishOf(
  options: Options,
  config: Config,
): Promise<ReplaceWish | undefined> {
  const which = options.text('replace');
  requireFitting(options, which);
  if (which === undefined || !isReplaceCase(which)) return undefined;
  const record = await readRecord(config);
  const isUnderWay = record?.replaced !== undefined && !record.done;
  const forgotten = options.texts('forget').map(parseFingerprint);
  return {
    case: which,
    forgotten:
      which === 'never-sealed' && !isUnderWay ? await allForgotten(config, forgotten) : forgotten,
    member: await expectedRing(options.text('member-ring'), options.text('expect')),
    isCopy: which === 'copied-disk' && (options.flag('copied') || (await isTypedAsCopy())),
    state: await stateFor(which, isUnderWay, config),
  };
}

/** An option of another case would be taken for a proof that nobody looks at. */
function requireFitting(options: Options, which: string | undefined): void {
  const given: readonly (readonly [string, boolean, ReplaceCase])[] = [
    ['--forget', options.texts('forget').length > 0, 'never-sealed'],
    ['--member-ring', options.text('member-ring') !== undefined, 'lost-token'],
    ['--copied', options.flag('copied'), 'copied-disk'],
  ];
  const strange = given.find(([, isGiven, of]) => isGiven && of !== which);
  if (strange !== undefined) throw usage(`${strange[0]} is for --replace ${strange[2]}`);
}

/** On a terminal the KEKs that were not named are asked about, each by its own fingerprint. */
async function allForgotten(
  config: Config,
  named: readonly Fingerprint[],
): Promise<readonly Fingerprint[]> {
  if (named.length > 0 || !isAnswerable()) return named;
  const fps = await keksToForget(config);
  for (const fp of fps) {
    await requireTyped(fp, `KEK ${fp} is given up: what it has sealed can never be opened again`);
  }
  return fps;
}

async function isTypedAsCopy(): Promise<boolean> {
  if (!isAnswerable()) return false;
  const what = `${hostname()} is another host than the one whose token is on this disk, which keeps it`;
  await requireTyped(hostname(), what);
  return true;
}

/** A daemon that lacks its token or PIN may not come so far as to answer. */
async function stateFor(
  which: ReplaceCase,
  isUnderWay: boolean,
  config: Config,
): Promise<StateResponse | undefined> {
  if (which === 'never-sealed' && !isUnderWay) return stateIfAny(config);
  return stateIfAny(config).catch(() => undefined);
}

/**
 * What the daemon serves from memory it keeps: the API server of this host needs it until
 * the KEKs are back on the disk.
 * @throws KleidiError change-not-applied
 */
export async function followReplacement(
  config: Config,
  ring: Ring,
  { case: which, state }: ReplaceWish,
): Promise<void> {
  const isKept = which !== 'never-sealed' && state !== undefined && state.keyId !== '';
  if (isKept) {
    note(
      'the daemon still serves from memory: do not restart it before kleidi join has brought the KEKs, and then: systemctl restart kleidi',
    );
  } else await awaitDaemon(config, ring, state);
  if (ring.keks.length === 0) {
    note('next, for the KEKs of the ring: kleidi key request --out here.request, then kleidi join');
  }
}
