// Where the API server of this very host listens: kubeadm's admin.conf names the load
// balancer of all, and another host's answer proves nothing of this one.
import { flagValues } from '../flagvalues.ts';
import type { Installation } from '../installation.ts';
import type { Kubeconfig } from './kubeconfig.ts';

const defaultPort = 6443;

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** @throws KleidiError refused, file-failed */
export function ownAddress(installation: Installation, { server }: Kubeconfig): Address {
  const { root, distribution, evidence } = installation;
  // k3s and RKE2 write theirs anew at each start, for their own.
  if (distribution.kubeconfigIsOwn) {
    return { host: server.hostname, port: Number(server.port) || 443 };
  }
  const text = distribution.flagText(root, evidence);
  const bound = flagValues(text, 'bind-address').at(-1) ?? '0.0.0.0';
  const host = ['0.0.0.0', '::'].includes(bound) ? '127.0.0.1' : bound;
  return { host, port: Number(flagValues(text, 'secure-port').at(-1)) || defaultPort };
}
