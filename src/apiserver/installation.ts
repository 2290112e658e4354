// How kube-apiserver is run on this host, found by the files that each
// distribution keeps. Reads only.
import { KleidiError } from '../errors.ts';
import { distributionsOf } from './distributions/all.ts';
import type { Distribution } from './distributions/distribution.ts';
import type { Paths } from './flags.ts';
import { textAt } from './hostfiles.ts';

export interface Installation {
  /** Where the file system of its host begins: `/`, but in tests and with --root. */
  readonly root: string;
  readonly distribution: Distribution;
  /** The file by which it was found. */
  readonly evidence: string;
}

/** What a plan is about. */
export interface Apiserver extends Installation {
  readonly paths: Paths;
}

/** Every way to run kube-apiserver that has left its files here. */
export function findInstallations(root: string): Installation[] {
  return distributionsOf(root).flatMap((distribution) => {
    const evidence = distribution.find(root);
    return evidence === undefined ? [] : [{ root, distribution, evidence }];
  });
}

/** @param wanted where an operator names it. @throws KleidiError refused */
export function requireInstallation(root: string, wanted: string | undefined): Installation {
  const found = findInstallations(root).filter(
    ({ distribution }) => wanted === undefined || distribution.name === wanted,
  );
  const [first, second] = found;
  if (first === undefined) {
    throw new KleidiError(
      'refused',
      `no kube-apiserver${wanted === undefined ? '' : ` of ${wanted}`} is found on this host`,
      {
        hint: 'kleidi knows kubeadm, RKE2, k3s and a kube-apiserver.service; for others see "By hand" in /usr/share/doc/kleidi/operations.md',
      },
    );
  }
  if (second === undefined) return first;
  throw new KleidiError(
    'refused',
    `more than one kube-apiserver is found: ${found.map(({ distribution, evidence }) => `${distribution.name} (${evidence})`).join(', ')}`,
    { hint: 'name the one in use with --distribution' },
  );
}

/** Whether kube-apiserver is told of our EncryptionConfiguration. */
export function isFlagged({ root, distribution, paths }: Apiserver): boolean {
  const text = textAt(root, distribution.flagFile);
  return text !== undefined && distribution.isFlagged(text, paths);
}

/** The flags that kleidi has added among them. Reads. @throws KleidiError refused, file-failed */
export function allFlagText({ root, distribution, evidence }: Installation): string {
  const added = textAt(root, distribution.flagFile) ?? '';
  return `${distribution.flagText(root, evidence)}\n${added}`;
}
