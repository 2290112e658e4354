// The units of a control plane host: etcd as one member of three, and kube-apiserver
// on the etcd of its own host, as kubeadm has it.
import { hostAddresses } from './clusternetwork.ts';

/** Where hosts see the binaries, and keep certificates and keys. */
export const binaryFolder = '/opt/kubernetes';
export const certificateFolder = '/etc/kubernetes/pki';

const tls = (name: string): string => `${certificateFolder}/${name}`;
const members = hostAddresses.map((address, i) => `m${i}=https://${address}:2380`).join(',');

function unit(description: string, after: string, command: readonly string[]): string {
  return `[Unit]
Description=${description}
After=${after}

[Service]
Type=notify
ExecStart=${command.join(' \\\n  ')}
Restart=on-failure
RestartSec=1
TimeoutStartSec=300

[Install]
WantedBy=multi-user.target
`;
}

/**
 * Generous election timeouts: the machine may be busy, and nothing here hangs on how
 * fast a lost leader is replaced. Without fsync: what a host has written survives its
 * end, because this machine's kernel has it.
 */
export function etcdUnit(index: number): string {
  const address = hostAddresses[index] ?? '';
  return unit('etcd', 'network.target', [
    `${binaryFolder}/etcd`,
    `--name=m${index}`,
    '--data-dir=/var/lib/etcd',
    `--listen-client-urls=https://${address}:2379,https://127.0.0.1:2379`,
    `--advertise-client-urls=https://${address}:2379`,
    `--listen-peer-urls=https://${address}:2380`,
    `--initial-advertise-peer-urls=https://${address}:2380`,
    `--initial-cluster=${members}`,
    `--cert-file=${tls('node.pem')}`,
    `--key-file=${tls('node.key')}`,
    `--trusted-ca-file=${tls('ca.pem')}`,
    '--client-cert-auth',
    `--peer-cert-file=${tls('node.pem')}`,
    `--peer-key-file=${tls('node.key')}`,
    `--peer-trusted-ca-file=${tls('ca.pem')}`,
    '--peer-client-cert-auth',
    '--heartbeat-interval=300',
    '--election-timeout=3000',
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]);
}

/** As kubeadm has it: not the API server of this host, but one of them all. */
export function adminKubeconfig(index: number): string {
  const address = hostAddresses[(index + 1) % hostAddresses.length] ?? '';
  const cluster = { server: `https://${address}:6443`, 'certificate-authority': tls('ca.pem') };
  const user = { 'client-certificate': tls('admin.pem'), 'client-key': tls('admin.key') };
  const context = { cluster: 'kubernetes', user: 'admin' };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'kubernetes', cluster }],
    users: [{ name: 'admin', user }],
    contexts: [{ name: 'admin', context }],
    'current-context': 'admin',
  });
}

/** @param etcd where the host has no member of its own */
export function apiServerUnit(address: string, etcd = '127.0.0.1'): string {
  return unit('kube-apiserver', 'etcd.service', [
    `${binaryFolder}/kube-apiserver`,
    `--advertise-address=${address}`,
    `--etcd-servers=https://${etcd}:2379`,
    `--etcd-cafile=${tls('ca.pem')}`,
    `--etcd-certfile=${tls('node.pem')}`,
    `--etcd-keyfile=${tls('node.key')}`,
    ...commonFlags(tls),
  ]);
}

/** Of any kube-apiserver here. @param at where a file of makeClusterCertificates is */
export function commonFlags(at: (name: string) => string): readonly string[] {
  return [
    `--client-ca-file=${at('ca.pem')}`,
    `--tls-cert-file=${at('node.pem')}`,
    `--tls-private-key-file=${at('node.key')}`,
    '--authorization-mode=Node,RBAC',
    '--service-cluster-ip-range=10.96.0.0/16',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${at('sa.pub')}`,
    `--service-account-signing-key-file=${at('sa.key')}`,
  ];
}
