// Every distribution that kleidi knows, in the order in which they are looked for.
import type { Distribution, DistributionName } from './distribution.ts';
import { kubeadm } from './kubeadm.ts';
import { staticPodFolder } from './kubelet.ts';
import { rancher } from './rancher.ts';
import { systemd } from './systemd.ts';

export const distributionNames: readonly DistributionName[] = ['kubeadm', 'rke2', 'k3s', 'unit'];

/** As they are on the host whose file system begins at `root`. Reads. @throws KleidiError file-failed */
export function distributionsOf(root: string): readonly Distribution[] {
  return [kubeadm(staticPodFolder(root)), rancher('rke2'), rancher('k3s'), systemd];
}
