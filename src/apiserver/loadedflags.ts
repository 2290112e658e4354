// Whether what starts kube-apiserver still has its old flags in memory: then a crash would
// start it with them, and the EncryptionConfiguration that they name must be there.
import { spawnSync } from 'node:child_process';
import { type Installation, textAt } from './installation.ts';

/** RKE2's agent makes the pod from this, and writes it anew when rke2-server restarts. */
const rke2Pod = '/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml';
const timeoutMs = 10_000;

/**
 * The kubelet takes up a static pod within seconds, and k3s reads its configuration at
 * each start. Where systemd does not answer, it is taken to have the old flags.
 * @param show the command that systemd has loaded; undefined where it cannot be asked
 */
export function hasLoaded(
  root: string,
  { kind }: Installation,
  config: string,
  show: () => string | undefined = loadedCommand,
): boolean {
  switch (kind) {
    case 'kubeadm':
    case 'k3s':
      return false;
    case 'rke2':
      return textAt(root, rke2Pod)?.includes(config) ?? false;
    case 'unit':
      return root === '/' && (show()?.includes(config) ?? true);
  }
}

function loadedCommand(): string | undefined {
  const { stdout, status } = spawnSync(
    'systemctl',
    ['show', 'kube-apiserver.service', '--property=ExecStart'],
    { encoding: 'utf8', timeout: timeoutMs },
  );
  return status === 0 ? stdout : undefined;
}
