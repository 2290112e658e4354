// How kube-apiserver is run on this host, found by the files that each
// distribution keeps. Reads only.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KleidiError } from '../errors.ts';
import { isErrno } from '../files.ts';
import { manifestPath } from './manifest.ts';
import { generatedConfig, rancherDropIn, rancherFolder } from './rancher.ts';
import { filesBeside, unitDropIn, unitPaths } from './unit.ts';

export type Distribution = 'kubeadm' | 'rke2' | 'k3s' | 'unit';

export const distributions: readonly Distribution[] = ['kubeadm', 'rke2', 'k3s', 'unit'];

export interface Installation {
  readonly kind: Distribution;
  /** The file by which it was found. */
  readonly evidence: string;
  /** What makes kube-apiserver read changed flags, for people. */
  readonly restart: string;
}

const restarts: Readonly<Record<Distribution, string>> = {
  kubeadm: 'the kubelet restarts kube-apiserver by itself within a minute',
  rke2: 'systemctl restart rke2-server',
  k3s: 'systemctl restart k3s',
  unit: 'systemctl daemon-reload && systemctl restart kube-apiserver',
};

/** A file below `root`, or undefined where there is none. @throws KleidiError file-failed */
export function textAt(root: string, path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch (cause) {
    if (isErrno(cause, 'ENOENT') || isErrno(cause, 'ENOTDIR')) return undefined;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new KleidiError('file-failed', `${path} cannot be read: ${why}`, {
      hint: 'run as root; nothing was changed',
      cause,
    });
  }
}

/** Every way to run kube-apiserver that has left its files here. */
export function findInstallations(root: string): Installation[] {
  const evidence: Readonly<Record<Distribution, readonly string[]>> = {
    kubeadm: [manifestPath],
    rke2: ['/etc/rancher/rke2/rke2.yaml', '/etc/rancher/rke2/config.yaml', generatedConfig('rke2')],
    k3s: ['/etc/rancher/k3s/k3s.yaml', '/etc/rancher/k3s/config.yaml', generatedConfig('k3s')],
    unit: unitPaths,
  };
  return distributions.flatMap((kind) => {
    const found = evidence[kind].find((path) => textAt(root, path) !== undefined);
    return found === undefined ? [] : [{ kind, evidence: found, restart: restarts[kind] }];
  });
}

/** @param wanted where an operator names it. @throws KleidiError refused */
export function requireInstallation(root: string, wanted: string | undefined): Installation {
  const found = findInstallations(root).filter(
    ({ kind }) => wanted === undefined || kind === wanted,
  );
  const [first, second] = found;
  if (first === undefined) {
    throw new KleidiError(
      'refused',
      `no kube-apiserver${wanted === undefined ? '' : ` of ${wanted}`} is found on this host`,
      {
        hint: 'kleidi knows kubeadm, RKE2, k3s and a kube-apiserver.service; for others see "By hand" in docs/operations.md',
      },
    );
  }
  if (second === undefined) return first;
  throw new KleidiError(
    'refused',
    `more than one kube-apiserver is found: ${found.map(({ kind, evidence }) => `${kind} (${evidence})`).join(', ')}`,
    {
      hint: 'name the one in use with --distribution',
    },
  );
}

/** config.yaml and its drop-ins, but for ours. */
export function rancherTexts(root: string, kind: 'k3s' | 'rke2'): ReadonlyMap<string, string> {
  const folder = rancherFolder(kind);
  const dropIns = namesIn(join(root, folder, 'config.yaml.d'), /\.ya?ml$/).map(
    (name) => `${folder}/config.yaml.d/${name}`,
  );
  const paths = [`${folder}/config.yaml`, ...dropIns].filter(
    (path) => path !== rancherDropIn(kind),
  );
  return textsAt(root, paths);
}

/** Drop-ins of the unit but for ours, and the environment files that they name. */
export function unitFiles(root: string, unit: string): ReadonlyMap<string, string> {
  const dropIns = textsAt(
    root,
    unitPaths.flatMap((path) =>
      namesIn(join(root, `${path}.d`), /\.conf$/).map((name) => `${path}.d/${name}`),
    ),
  );
  dropIns.delete(unitDropIn);
  const names = filesBeside(textAt(root, unit) ?? '', dropIns);
  return new Map([...dropIns, ...textsAt(root, names)]);
}

function textsAt(root: string, paths: readonly string[]): Map<string, string> {
  return new Map(
    paths.flatMap((path) => {
      const text = textAt(root, path);
      return text === undefined ? [] : [[path, text] as const];
    }),
  );
}

function namesIn(folder: string, pattern: RegExp): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => pattern.test(name))
      .sort();
  } catch {
    return [];
  }
}
