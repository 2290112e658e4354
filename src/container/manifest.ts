// What Kubernetes is given: a static pod, which the kubelet of a host starts without an API
// server, or a DaemonSet on the control-plane nodes.
import { type PodWish, podSpec } from './pod.ts';

export const manifestKinds = ['static-pod', 'daemonset'] as const;
export type ManifestKind = (typeof manifestKinds)[number];

const labels = { 'app.kubernetes.io/name': 'kleidi' };
const metadata = { name: 'kleidi', namespace: 'kube-system', labels };

export function manifest(kind: ManifestKind, wish: PodWish): object {
  return kind === 'static-pod' ? staticPod(wish) : daemonSet(wish);
}

function staticPod(wish: PodWish): object {
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: podSpec(wish) };
}

/** One at a time: while a pod is away, its API server cannot open what it has not opened yet. */
function daemonSet(wish: PodWish): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata,
    spec: {
      selector: { matchLabels: labels },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
      template: {
        metadata: { labels },
        spec: {
          nodeSelector: { 'node-role.kubernetes.io/control-plane': '' },
          tolerations: [{ operator: 'Exists' }],
          ...podSpec(wish),
        },
      },
    },
  };
}
