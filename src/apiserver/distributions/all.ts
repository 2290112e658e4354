// Every distribution that kleidi knows, in the order in which they are looked for.
import type { Distribution } from './distribution.ts';
import { kubeadm } from './kubeadm.ts';
import { rancher } from './rancher.ts';
import { systemd } from './systemd.ts';

export const distributions: readonly Distribution[] = [
  kubeadm,
  rancher('rke2'),
  rancher('k3s'),
  systemd,
];
