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
import type { Paths } from './flags.ts';
import { type Installation, rancherTexts, textAt, unitFiles } from './installation.ts';
import { disabledManifest, enabledManifest, manifestFlag, manifestPath } from './manifest.ts';
import {
  carriedProviders,
  dropInText,
  generatedConfig,
  rancherDropIn,
  requireNoneLater,
  requireNoOtherFlag,
} from './rancher.ts';
import type { ChangeRecord } from './record.ts';
import { unitDropIn, unitDropInText } from './unit.ts';

export interface Plan {
  readonly installation: Installation;
  /** Where kleidi stands now. */
  readonly from: Phase | undefined;
  readonly to: Phase | undefined;
  readonly changes: readonly FileChange[];
}

/** @throws KleidiError refused, file-failed */
export function planEnable(
  root: string,
  installation: Installation,
  paths: Paths,
  phase: Phase,
): Plan {
  const text = textAt(root, paths.config);
  const flag = flagChange(root, installation, paths);
  const from = text === undefined ? undefined : phaseOf(text, paths.config, paths.socket);
  if (text !== undefined && !isFlagged(root, installation, paths)) {
    requireCarried(root, installation, text, paths.config);
  }
  const after =
    text === undefined
      ? newConfiguration(phase, paths.socket, othersFor(root, installation))
      : from === phase
        ? text
        : withPhase(text, paths.config, paths.socket, phase);
  requireValid(after, paths.config);
  const config: FileChange = { path: paths.config, before: text, after, mode: 0o600 };
  return { installation, from, to: phase, changes: [config, flag].filter(isChange) };
}

/**
 * Files that nobody has changed since go back byte for byte; from others only
 * what kleidi has added is taken.
 * @param isLoaded whether kube-apiserver may still be started with the old flags: then the
 *   EncryptionConfiguration stays, without kleidi
 */
export function planDisable(
  root: string,
  installation: Installation,
  paths: Paths,
  record: ChangeRecord | undefined,
  isLoaded: boolean,
): Plan {
  const text = textAt(root, paths.config);
  const from = text === undefined ? undefined : phaseOf(text, paths.config, paths.socket);
  const flag = flagPath(installation);
  const changes = [flag, paths.config].map((path): FileChange => {
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
        ? without(path, before, installation, paths, keep)
        : restored.contents;
    return { path, before, after, mode: 0o600 };
  });
  return { installation, from, to: undefined, changes: changes.filter(isChange) };
}

/** The file by which kube-apiserver is told of the EncryptionConfiguration. */
export function flagPath({ kind, evidence }: Installation): string {
  switch (kind) {
    case 'kubeadm':
      return evidence;
    case 'rke2':
    case 'k3s':
      return rancherDropIn(kind);
    case 'unit':
      return unitDropIn;
  }
}

/** Whether kube-apiserver is told of our EncryptionConfiguration. */
export function isFlagged(root: string, installation: Installation, paths: Paths): boolean {
  const text = textAt(root, flagPath(installation));
  if (text === undefined) return false;
  if (installation.kind !== 'kubeadm') return text.includes(paths.config);
  return manifestFlag(text, installation.evidence) === paths.config;
}

function flagChange(root: string, installation: Installation, paths: Paths): FileChange {
  const path = flagPath(installation);
  const before = textAt(root, path);
  return { path, before, after: flagged(root, installation, paths, before ?? ''), mode: 0o644 };
}

function flagged(root: string, installation: Installation, paths: Paths, before: string): string {
  const { kind, evidence } = installation;
  switch (kind) {
    case 'kubeadm':
      return enabledManifest(before, manifestPath, paths);
    case 'rke2':
    case 'k3s':
      requireNoOtherFlag(rancherTexts(root, kind), paths);
      requireNoneLater(rancherTexts(root, kind), kind);
      return dropInText(kind, paths);
    case 'unit':
      return unitDropInText(
        textAt(root, evidence) ?? '',
        evidence,
        paths,
        unitFiles(root, evidence),
      );
  }
}

/** What reads the data that is there: nothing but clear text, or the distribution's own key. */
function othersFor(root: string, { kind }: Installation): object[] {
  if (kind !== 'rke2' && kind !== 'k3s') return [{ identity: {} }];
  const path = generatedConfig(kind);
  const generated = textAt(root, path);
  return generated === undefined ? [{ identity: {} }] : carriedProviders(generated, path);
}

/**
 * A file that was made before RKE2 or k3s had a key of its own lacks that key.
 * @throws KleidiError refused
 */
function requireCarried(root: string, found: Installation, text: string, path: string): void {
  if (carries(text, path, othersFor(root, found))) return;
  throw new KleidiError(
    'refused',
    `${path} lacks the key of ${found.kind}: what it has sealed could not be read any more`,
    { hint: `move ${path} away and run the command again: a new one is made with that key` },
  );
}

function without(
  path: string,
  text: string | undefined,
  { kind, evidence }: Installation,
  paths: Paths,
  keep: string | boolean,
): string | undefined {
  if (text === undefined) return undefined;
  if (path === paths.config) return withoutKleidi(text, path, paths.socket);
  if (kind === 'kubeadm') return disabledManifest(text, evidence, paths, keep);
  return undefined;
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
