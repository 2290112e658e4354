// kubeadm: a static pod, and the ClusterConfiguration from which an upgrade makes it anew.
import { textAt } from '../hostfiles.ts';
import {
  disabledClusterConfiguration,
  enabledClusterConfiguration,
  requireOwnClusterFlag,
} from './clusterconfiguration.ts';
import type { Distribution } from './distribution.ts';
import { disabledManifest, enabledManifest, manifestFlag, serverArguments } from './manifest.ts';

const manifestPath = '/etc/kubernetes/manifests/kube-apiserver.yaml';

/** Of the admin: also where a kube-apiserver.service was set up by hand. */
export const adminConf = '/etc/kubernetes/admin.conf';

export const kubeadm: Distribution = {
  name: 'kubeadm',
  evidence: [manifestPath],
  flagFile: manifestPath,
  restart: 'the kubelet restarts kube-apiserver by itself within a minute',
  readsChangesItself: true,
  kubeconfig: adminConf,
  ownKeys: undefined,
  clusterObject: {
    requireOwnFlag: requireOwnClusterFlag,
    enabled: enabledClusterConfiguration,
    disabled: disabledClusterConfiguration,
  },
  isFlagged: (text, paths) => manifestFlag(text, manifestPath) === paths.config,
  textsBeside: () => new Map(),
  enabled: ({ text }, paths) => enabledManifest(text, manifestPath, paths),
  disabled: (text, paths, keep) => disabledManifest(text, manifestPath, paths, keep),
  /** The kubelet takes up a static pod within seconds. */
  hasLoaded: () => false,
  flagText: (root) => serverArguments(textAt(root, manifestPath) ?? '', manifestPath).join('\n'),
};
