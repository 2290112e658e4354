// What kleidi asks of the cluster, through kubectl with the admin's own credentials:
// which cluster it is, and the one object that kleidi touches, kubeadm's
// ClusterConfiguration.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { uidPattern } from './clusteruid.ts';
import type { Distribution } from './installation.ts';

const adminConf = '/etc/kubernetes/admin.conf';
/** A kubeconfig of this host's own cluster: none but these is ever asked. */
const kubeconfigs: Readonly<Record<Distribution, string>> = {
  kubeadm: adminConf,
  unit: adminConf,
  rke2: '/etc/rancher/rke2/rke2.yaml',
  k3s: '/etc/rancher/k3s/k3s.yaml',
};
/** RKE2 puts none on the path. */
const ownKubectl = '/var/lib/rancher/rke2/bin/kubectl';
const timeoutMs = 15_000;
const target = ['-n', 'kube-system', 'configmap', 'kubeadm-config'];

export interface ConfigMap {
  readonly text: string;
  readonly resourceVersion: string;
}

/** The ClusterConfiguration, or why it cannot be asked for. */
export function readClusterConfiguration(
  root: string,
): ConfigMap | { readonly unreachable: string } {
  if (!existsSync(join(root, adminConf))) return { unreachable: `there is no ${adminConf}` };
  const { stdout, stderr, status, error } = run(root, ['get', ...target, '-o', 'json']);
  if (status !== 0) return { unreachable: error?.message ?? stderr.trim() };
  const { data, metadata } = JSON.parse(stdout) as {
    data?: { ClusterConfiguration?: string };
    metadata: { resourceVersion: string };
  };
  const text = data?.ClusterConfiguration;
  if (text === undefined) return { unreachable: 'kubeadm-config has no ClusterConfiguration' };
  return { text, resourceVersion: metadata.resourceVersion };
}

/** The UID of the namespace kube-system, or why it cannot be asked for. */
export function askClusterUid(
  root: string,
  kind: Distribution,
): { readonly uid: string } | { readonly unreachable: string } {
  const kubeconfig = kubeconfigs[kind];
  if (!existsSync(join(root, kubeconfig))) return { unreachable: `there is no ${kubeconfig}` };
  const { stdout, stderr, status, error } = run(
    root,
    ['get', 'namespace', 'kube-system', '-o', 'jsonpath={.metadata.uid}'],
    '',
    kubeconfig,
  );
  if (status !== 0) return { unreachable: error?.message ?? stderr.trim() };
  const uid = stdout.trim();
  return uidPattern.test(uid) ? { uid } : { unreachable: 'kubectl prints no UID' };
}

/** Refused by the API server where somebody else has changed it since. */
export function writeClusterConfiguration(
  root: string,
  text: string,
  resourceVersion: string,
): string | undefined {
  const patch = JSON.stringify({
    metadata: { resourceVersion },
    data: { ClusterConfiguration: text },
  });
  const { status, stderr, error } = run(
    root,
    ['patch', ...target, '--type=merge', '--patch-file=/dev/stdin'],
    patch,
  );
  return status === 0 ? undefined : (error?.message ?? stderr.trim());
}

function run(root: string, args: readonly string[], input = '', kubeconfig = adminConf) {
  const own = join(root, ownKubectl);
  return spawnSync(
    existsSync(own) ? own : 'kubectl',
    [`--kubeconfig=${join(root, kubeconfig)}`, `--request-timeout=${timeoutMs}ms`, ...args],
    {
      input,
      encoding: 'utf8',
      timeout: timeoutMs * 2,
    },
  );
}
