// The one object in the cluster that kleidi touches: kubeadm's ClusterConfiguration,
// through kubectl with the admin's own credentials.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const adminConf = '/etc/kubernetes/admin.conf';
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

function run(root: string, args: readonly string[], input = '') {
  return spawnSync(
    'kubectl',
    [`--kubeconfig=${join(root, adminConf)}`, `--request-timeout=${timeoutMs}ms`, ...args],
    {
      input,
      encoding: 'utf8',
      timeout: timeoutMs * 2,
    },
  );
}
