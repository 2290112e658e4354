// What would change on this host: files with their contents before and after, in
// the order in which they are written. The file that makes kube-apiserver
// restart comes last. Pure but for reading.
import { KleidiError } from '../errors.ts';
import {
  newConfiguration,
  type Phase,
  phaseOf,
  withoutKleidi,
  withPhase,
} from './encryptionconfig.ts';
import { requireValid } from './encryptionrules.ts';
import type { Paths } from './flags.ts';
import { type Installation, rancherTexts, textAt } from './installation.ts';
import { disabledManifest, enabledManifest, manifestFlag, manifestPath } from './manifest.ts';
import {
  carriedProviders,
  dropInText,
  generatedConfig,
  rancherDropIn,
  requireNoOtherFlag,
} from './rancher.ts';
import type { ChangeRecord } from './record.ts';
import { unitDropIn, unitDropInText } from './unit.ts';

export interface FileChange {
  readonly path: string;
  /** undefined: there is no file, or there is to be none. */
  readonly before: string | undefined;
  readonly after: string | undefined;
  /** Of a file that is made; one that is there keeps its own. */
  readonly mode: number;
}

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
 */
export function planDisable(
  root: string,
  installation: Installation,
  paths: Paths,
  record: ChangeRecord | undefined,
): Plan {
  const text = textAt(root, paths.config);
  const from = text === undefined ? undefined : phaseOf(text, paths.config, paths.socket);
  const flag = flagPath(installation);
  const changes = [flag, paths.config].map((path): FileChange => {
    const before = textAt(root, path);
    const restored = record?.originalOf(path, before);
    const after =
      restored === undefined ? without(path, before, installation, paths) : restored.contents;
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
      return dropInText(kind, paths);
    case 'unit':
      return unitDropInText(textAt(root, evidence) ?? '', evidence, paths);
  }
}

/** What reads the data that is there: nothing but clear text, or the distribution's own key. */
function othersFor(root: string, { kind }: Installation): object[] {
  if (kind !== 'rke2' && kind !== 'k3s') return [{ identity: {} }];
  const path = generatedConfig(kind);
  const generated = textAt(root, path);
  return generated === undefined ? [{ identity: {} }] : carriedProviders(generated, path);
}

function without(
  path: string,
  text: string | undefined,
  { kind, evidence }: Installation,
  paths: Paths,
): string | undefined {
  if (text === undefined) return undefined;
  if (path === paths.config) return withoutKleidi(text, path, paths.socket);
  if (kind === 'kubeadm') return disabledManifest(text, evidence, paths);
  return undefined;
}

function isChange({ before, after }: FileChange): boolean {
  return before !== after;
}

/** @throws KleidiError refused */
export function requireStep(from: Phase | undefined, to: Phase, isSingleMaster: boolean): void {
  if (from === to || to === 'read') return;
  if (to === 'only' && from !== 'write') {
    throw new KleidiError(
      'refused',
      `phase only comes after write, and this host is at ${from ?? 'nothing'}`,
      {
        hint: 'kleidi apiserver enable --phase write, rewrite the Secrets, then --phase only',
      },
    );
  }
  if (to === 'write' && from === undefined && !isSingleMaster) {
    throw new KleidiError(
      'refused',
      'phase write comes after read on every API server, and this host is at nothing',
      {
        hint: 'kleidi apiserver enable --phase read on all of them first: each must read what another writes; or --single-master',
      },
    );
  }
}
