// What kleidi asks of the cluster, through kubectl with the admin's own credentials:
// which cluster it is, and the one object that kleidi touches, kubeadm's
// ClusterConfiguration.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../files.ts';
import { uidPattern } from './clusteruid.ts';
import type { Installation } from './installation.ts';

/** RKE2 puts none on the path. */
const ownKubectl = '/var/lib/rancher/rke2/bin/kubectl';
const timeoutMs = 15_000;
const target = ['-n', 'kube-system', 'configmap', 'kubeadm-config'];

interface ConfigMap {
  readonly text: string;
  readonly resourceVersion: string;
}

/** The ClusterConfiguration, or why it cannot be asked for. */
export function readClusterConfiguration(
  installation: Installation,
): ConfigMap | { readonly unreachable: string } {
  const missing = missingKubeconfig(installation);
  if (missing !== undefined) return missing;
  const { stdout, stderr, status, error } = run(installation, ['get', ...target, '-o', 'json']);
  if (status !== 0) return { unreachable: reason(error, stderr) };
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
  installation: Installation,
): { readonly uid: string } | { readonly unreachable: string } {
  const missing = missingKubeconfig(installation);
  if (missing !== undefined) return missing;
  const { stdout, stderr, status, error } = run(installation, [
    ...['get', 'namespace', 'kube-system', '-o', 'jsonpath={.metadata.uid}'],
  ]);
  if (status !== 0) return { unreachable: reason(error, stderr) };
  const uid = stdout.trim();
  return uidPattern.test(uid) ? { uid } : { unreachable: 'kubectl prints no UID' };
}

/** Refused by the API server where somebody else has changed it since. */
export function writeClusterConfiguration(
  installation: Installation,
  text: string,
  resourceVersion: string,
): string | undefined {
  const patch = JSON.stringify({
    metadata: { resourceVersion },
    data: { ClusterConfiguration: text },
  });
  const { status, stderr, error } = run(
    installation,
    ['patch', ...target, '--type=merge', '--patch-file=/dev/stdin'],
    patch,
  );
  return status === 0 ? undefined : reason(error, stderr);
}

function missingKubeconfig({ root, distribution: { kubeconfig } }: Installation) {
  return existsSync(join(root, kubeconfig))
    ? undefined
    : { unreachable: `there is no ${kubeconfig}` };
}

function run({ root, distribution }: Installation, args: readonly string[], input = '') {
  const own = join(root, ownKubectl);
  return spawnSync(
    existsSync(own) ? own : 'kubectl',
    [
      `--kubeconfig=${join(root, distribution.kubeconfig)}`,
      `--request-timeout=${timeoutMs}ms`,
      ...args,
    ],
    {
      input,
      encoding: 'utf8',
      timeout: timeoutMs * 2,
    },
  );
}

/** Of a kubectl that did not succeed. */
function reason(error: Error | undefined, stderr: string): string {
  if (isErrno(error, 'ENOENT')) return 'kubectl is not installed';
  if (isErrno(error, 'ETIMEDOUT')) return 'kubectl has not answered in time';
  return error?.message ?? stderr.trim();
}
