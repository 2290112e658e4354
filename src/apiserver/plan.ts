// What would change on this host: files with their contents before and after, in
// the order in which they are written. The file that makes kube-apiserver
// restart comes last. Pure but for reading.
import { KleidiError } from '../errors.ts';
import type { FileChange } from './change.ts';
import { EncryptionConfiguration } from './encryptionconfig.ts';
import { requireValid } from './encryptionrules.ts';
import { textAt } from './hostfiles.ts';
import { type Apiserver, type Installation, isFlagged } from './installation.ts';
import { newConfiguration } from './kmsprovider.ts';
import type { Phase } from './phase.ts';
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
  const before = textAt(root, paths.config);
  const flag = flagChange(apiserver);
  const now = before === undefined ? undefined : new EncryptionConfiguration(before, paths);
  if (now !== undefined && !isFlagged(apiserver)) requireCarried(apiserver, now);
  const after = now === undefined ? newFor(apiserver, phase) : now.withPhase(phase);
  const config: FileChange = { path: paths.config, before, after, mode: 0o600 };
  const changes = [config, flag].filter(isChange);
  return { installation: apiserver, from: now?.phase, to: phase, changes };
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
  const now = configurationOf(apiserver);
  const without = (path: string, before: string | undefined): string | undefined => {
    if (before === undefined) return undefined;
    if (path === paths.config) return now?.withoutKleidi();
    return distribution.disabled(
      before,
      paths,
      record?.firstOf(path) ?? now?.hasOtherKeys ?? false,
    );
  };
  const changes = [distribution.flagFile, paths.config].map((path): FileChange => {
    const before = textAt(root, path);
    const original = record?.originalOf(path, before);
    const isStaying = path === paths.config && isLoaded && original?.contents === undefined;
    const after = original === undefined || isStaying ? without(path, before) : original.contents;
    return { path, before, after, mode: 0o600 };
  });
  return {
    installation: apiserver,
    from: now?.phase,
    to: undefined,
    changes: changes.filter(isChange),
  };
}

/** What kube-apiserver is told of, or would be. @throws KleidiError refused, file-failed */
export function configurationOf({ root, paths }: Apiserver): EncryptionConfiguration | undefined {
  const text = textAt(root, paths.config);
  return text === undefined ? undefined : new EncryptionConfiguration(text, paths);
}

function flagChange({ root, distribution, evidence, paths }: Apiserver): FileChange {
  const { flagFile: path } = distribution;
  const before = textAt(root, path);
  const beside = distribution.textsBeside(root, evidence);
  const after = distribution.enabled({ text: before ?? '', evidence, beside }, paths);
  return { path, before, after, mode: 0o644 };
}

function newFor(apiserver: Apiserver, phase: Phase): string {
  const { socket, config } = apiserver.paths;
  const text = newConfiguration(phase, socket, othersFor(apiserver));
  requireValid(text, config);
  return text;
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
function requireCarried(apiserver: Apiserver, now: EncryptionConfiguration): void {
  const { config: path } = apiserver.paths;
  if (now.carries(othersFor(apiserver))) return;
  throw new KleidiError(
    'refused',
    `${path} lacks the key of ${apiserver.distribution.name}: what it has sealed could not be read any more`,
    { hint: `move ${path} away and run the command again: a new one is made with that key` },
  );
}

function isChange({ before, after }: FileChange): boolean {
  return before !== after;
}
