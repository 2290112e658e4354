// kubeadm: a static pod, and the ClusterConfiguration from which an upgrade makes it anew.
import { firstAt, textAt } from '../hostfiles.ts';
import {
  disabledClusterConfiguration,
  enabledClusterConfiguration,
  requireOwnClusterFlag,
} from './clusterconfiguration.ts';
import type { Distribution } from './distribution.ts';
import { disabledManifest, enabledManifest, manifestFlag, serverArguments } from './manifest.ts';

/** Of the admin: also where a kube-apiserver.service was set up by hand. */
export const adminConf = '/etc/kubernetes/admin.conf';

/** @param folder where the kubelet reads static pods */
export function kubeadm(folder: string): Distribution {
  const manifest = `${folder}/kube-apiserver.yaml`;
  return {
    name: 'kubeadm',
    flagFile: manifest,
    service: undefined,
    restart: 'the kubelet restarts kube-apiserver by itself within a minute',
    readsChangesItself: true,
    kubeconfig: adminConf,
    kubeconfigIsOwn: false,
    ownKeys: undefined,
    clusterObject: {
      requireOwnFlag: requireOwnClusterFlag,
      enabled: enabledClusterConfiguration,
      disabled: disabledClusterConfiguration,
    },
    find: (root) => firstAt(root, [manifest]),
    isFlagged: (text, paths) => manifestFlag(text, manifest) === paths.config,
    textsBeside: () => new Map(),
    enabled: ({ text }, paths) => enabledManifest(text, manifest, paths),
    disabled: (text, paths, keep) => disabledManifest(text, manifest, paths, keep),
    /** The kubelet takes up a static pod within seconds. */
    hasLoaded: () => false,
    flagText: (root) => serverArguments(textAt(root, manifest) ?? '', manifest).join('\n'),
  };
}
