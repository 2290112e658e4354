// What would change on this host: files with their contents before and after, in
// the order in which they are written. The file that makes kube-apiserver
// restart comes last. Pure but for reading.
import { KleidiError } from '../errors.ts';
import type { FileChange } from './change.ts';
import {
  carries,
  hasOtherKeys,
  newConfiguration,
  type Phase,
  phaseOf,
  withoutKleidi,
  withPhase,
} from './encryptionconfig.ts';
import { requireValid } from './encryptionrules.ts';
import { textAt } from './hostfiles.ts';
import { type Apiserver, type Installation, isFlagged } from './installation.ts';
import type { ChangeRecord } from './record.ts';

export interface Plan {
  readonly installation: Installation;
  /** Where kleidi stands now. */
  readonly from: Phase | undefined;
  readonly to: Phase | undefined;
  readonly changes: readonly FileChange[];
}

/** @throws KleidiError refused, file-failed */
export function planEnable(apiserver: Apiserver, phase: Phase): Plan {
  const { root, paths } = apiserver;
  const text = textAt(root, paths.config);
  const flag = flagChange(apiserver);
  const from = text === undefined ? undefined : phaseOf(text, paths.config, paths.socket);
  if (text !== undefined && !isFlagged(apiserver)) requireCarried(apiserver, text);
  const after =
    text === undefined
      ? newConfiguration(phase, paths.socket, othersFor(apiserver))
      : from === phase
        ? text
        : withPhase(text, paths.config, paths.socket, phase);
  requireValid(after, paths.config);
  const config: FileChange = { path: paths.config, before: text, after, mode: 0o600 };
  return { installation: apiserver, from, to: phase, changes: [config, flag].filter(isChange) };
}

/**
 * Files that nobody has changed since go back byte for byte; from others only
 * what kleidi has added is taken.
 * @param isLoaded whether kube-apiserver may still be started with the old flags: then the
 *   EncryptionConfiguration stays, without kleidi
 */
export function planDisable(
  apiserver: Apiserver,
  record: ChangeRecord | undefined,
  isLoaded: boolean,
): Plan {
  const { root, distribution, paths } = apiserver;
  const text = textAt(root, paths.config);
  const from = text === undefined ? undefined : phaseOf(text, paths.config, paths.socket);
  const changes = [distribution.flagFile, paths.config].map((path): FileChange => {
    const before = textAt(root, path);
    const restored = record?.originalOf(path, before);
    const first = record?.firstOf(path);
    const keep =
      first === undefined
        ? text !== undefined && hasOtherKeys(text, paths.config, paths.socket)
        : first;
    const after =
      restored === undefined ||
      (path === paths.config && isLoaded && restored.contents === undefined)
        ? without(apiserver, path, before, keep)
        : restored.contents;
    return { path, before, after, mode: 0o600 };
  });
  return { installation: apiserver, from, to: undefined, changes: changes.filter(isChange) };
}

function flagChange({ root, distribution, evidence, paths }: Apiserver): FileChange {
  const { flagFile: path } = distribution;
  const before = textAt(root, path);
  const beside = distribution.textsBeside(root, evidence);
  const after = distribution.enabled({ text: before ?? '', evidence, beside }, paths);
  return { path, before, after, mode: 0o644 };
}

/** What reads the data that is there: nothing but clear text, or the distribution's own key. */
function othersFor({ root, distribution: { ownKeys } }: Installation): object[] {
  if (ownKeys === undefined) return [{ identity: {} }];
  const text = textAt(root, ownKeys.path);
  return text === undefined ? [{ identity: {} }] : ownKeys.providersIn(text);
}

/**
 * A file that was made before RKE2 or k3s had a key of its own lacks that key.
 * @throws KleidiError refused
 */
function requireCarried(apiserver: Apiserver, text: string): void {
  const { config: path } = apiserver.paths;
  if (carries(text, path, othersFor(apiserver))) return;
  throw new KleidiError(
    'refused',
    `${path} lacks the key of ${apiserver.distribution.name}: what it has sealed could not be read any more`,
    { hint: `move ${path} away and run the command again: a new one is made with that key` },
  );
}

function without(
  { distribution, paths }: Apiserver,
  path: string,
  text: string | undefined,
  keep: string | boolean,
): string | undefined {
  if (text === undefined) return undefined;
  if (path === paths.config) return withoutKleidi(text, path, paths.socket);
  return distribution.disabled(text, paths, keep);
}

function isChange({ before, after }: FileChange): boolean {
  return before !== after;
}

const order: readonly (Phase | undefined)[] = [undefined, 'read', 'write', 'only'];

/**
 * One step at a time, forwards and backwards: at `only` an API server cannot read what
 * another one at `read` writes in clear. A single one may skip to write, and back.
 * @throws KleidiError refused
 */
export function requireStep(from: Phase | undefined, to: Phase, isSingleMaster: boolean): void {
  const [at, due] = [order.indexOf(from), order.indexOf(to)];
  if (Math.abs(due - at) <= 1) return;
  if (isSingleMaster && (to === 'write' || to === 'read')) return;
  const first = order[at + Math.sign(due - at)];
  const hint = `kleidi apiserver enable --phase ${first} on every API server first: each must read what another writes`;
  throw new KleidiError(
    'refused',
    `phase ${to} comes after ${order[due - Math.sign(due - at)]} on every API server, and this host is at ${from ?? 'nothing'}`,
    { hint: to === 'only' ? hint : `${hint}; or --single-master` },
  );
}
