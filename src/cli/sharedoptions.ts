// Options that several verbs have, with the same meaning in each.

import { distributionNames } from '../apiserver/distributions/all.ts';
import { flag, text } from './option.ts';

/** Which kube-apiserver is looked at. */
export const hostOptions = {
  distribution: text('NAME', 'where more than one is found', distributionNames),
  root: text('DIR', "look at another file system than this host's"),
};

export const kubeconfigOption = text(
  'FILE',
  `of an administrator, for the running kube-apiserver, where it is not the distribution's`,
);

/** @param meaning what the snapshot proves, and when it must have been taken */
export function scanOptions(meaning: string) {
  return {
    scan: text('FILE', meaning),
    'no-scan': flag('without that proof'),
    prefix: text(
      'PATH',
      `--etcd-prefix of kube-apiserver, where its flags are not on this host (default /registry);
      refused where they say another`,
    ),
    cluster: text(
      'UID',
      `of the namespace kube-system, where this host has not recorded it: kubectl get ns
      kube-system -o jsonpath='{.metadata.uid}'`,
    ),
  };
}

/** For the members after the first: the same step, or none. */
export const resultOption = text(
  'DIGEST',
  `refused unless that leads to exactly this ring: the first host prints the digest, the others
  are given it`,
);

export const passphraseOption = text('N', 'read the passphrase from file descriptor N');
