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

interface Unreachable {
  /** Why the cluster cannot be asked. */
  readonly unreachable: string;
}

interface ConfigMap {
  readonly text: string;
  readonly resourceVersion: string;
}

/** The ClusterConfiguration. */
export function readClusterConfiguration(installation: Installation): ConfigMap | Unreachable {
  const said = kubectl(installation, ['get', ...target, '-o', 'json']);
  if (typeof said !== 'string') return said;
  const { data, metadata } = JSON.parse(said) as {
    data?: { ClusterConfiguration?: string };
    metadata: { resourceVersion: string };
  };
  const text = data?.ClusterConfiguration;
  if (text === undefined) return { unreachable: 'kubeadm-config has no ClusterConfiguration' };
  return { text, resourceVersion: metadata.resourceVersion };
}

/** The UID of the namespace kube-system. */
export function askClusterUid(installation: Installation): { readonly uid: string } | Unreachable {
  const args = ['get', 'namespace', 'kube-system', '-o', 'jsonpath={.metadata.uid}'];
  const said = kubectl(installation, args);
  if (typeof said !== 'string') return said;
  const uid = said.trim();
  return uidPattern.test(uid) ? { uid } : { unreachable: 'kubectl prints no UID' };
}

/** Refused by the API server where somebody else has changed it since. @returns why not */
export function writeClusterConfiguration(
  installation: Installation,
  text: string,
  resourceVersion: string,
): string | undefined {
  const patch = { metadata: { resourceVersion }, data: { ClusterConfiguration: text } };
  const args = ['patch', ...target, '--type=merge', '--patch-file=/dev/stdin'];
  const said = kubectl(installation, args, JSON.stringify(patch));
  return typeof said === 'string' ? undefined : said.unreachable;
}

/** What it prints. */
function kubectl(
  { root, distribution: { kubeconfig } }: Installation,
  args: readonly string[],
  input = '',
): string | Unreachable {
  if (!existsSync(join(root, kubeconfig))) return { unreachable: `there is no ${kubeconfig}` };
  const own = join(root, ownKubectl);
  const { stdout, stderr, status, error } = spawnSync(
    existsSync(own) ? own : 'kubectl',
    [`--kubeconfig=${join(root, kubeconfig)}`, `--request-timeout=${timeoutMs}ms`, ...args],
    { input, encoding: 'utf8', timeout: timeoutMs * 2 },
  );
  return status === 0 ? stdout : { unreachable: reason(error, stderr) };
}

/** Of a kubectl that did not succeed. */
function reason(error: Error | undefined, stderr: string): string {
  if (isErrno(error, 'ENOENT')) return 'kubectl is not installed';
  if (isErrno(error, 'ETIMEDOUT')) return 'kubectl has not answered in time';
  return error?.message ?? stderr.trim();
}
