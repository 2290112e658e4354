// Every way in which an API server of this host can name kleidi: the files of it, by
// their paths. Written into made-up roots by the tests of the guard, and into a host.
export type Files = Readonly<Record<string, string>>;

export const flag = '--encryption-provider-config';
export const config = '/etc/kubernetes/kleidi/encryption-config.yaml';
export const naming =
  'providers:\n- kms: { name: kleidi, endpoint: "unix:///run/kleidi/kms.sock" }\n';
export const other = 'providers:\n- aescbc: {}\n- identity: {}\n';
export const unit = 'etc/systemd/system/kube-apiserver.service';
export const manifest = 'etc/kubernetes/manifests/kube-apiserver.yaml';

export const refused: Readonly<Record<string, Files>> = {
  'kubeadm, flag with =': { [manifest]: `  - kube-apiserver\n  - ${flag}=${config}\n` },
  'kubeadm, quoted': { [manifest]: `    - "${flag}=${config}"\n` },
  'kubeadm, flag and value as two items': { [manifest]: `  - ${flag}\n  - ${config}\n` },
  'a manifest in JSON': { [manifest]: `{"command":["kube-apiserver","${flag}=${config}"]}` },
  "kubelet's own staticPodPath": {
    'var/lib/kubelet/config.yaml': 'staticPodPath: /srv/pods\n',
    'srv/pods/api.yaml': `- ${flag}=${config}\n`,
  },
  'RKE2, list': {
    'etc/rancher/rke2/config.yaml': `kube-apiserver-arg: ["encryption-provider-config=${config}"]\n`,
  },
  'RKE2, config.yaml.d': {
    'etc/rancher/rke2/config.yaml.d/50-kms.yaml': `kube-apiserver-arg:\n  - encryption-provider-config=${config}\n`,
  },
  'RKE2, its own manifest': {
    'var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml': `- ${flag}=${config}\n`,
  },
  k3s: {
    'etc/rancher/k3s/config.yaml': `kube-apiserver-arg: 'encryption-provider-config=${config}'\n`,
  },
  'k3s, in the unit': {
    'etc/systemd/system/k3s.service': `ExecStart=/usr/local/bin/k3s server \\\n  '--kube-apiserver-arg=encryption-provider-config=${config}' \\\n`,
  },
  'a plain unit': { [unit]: `ExecStart=/usr/bin/kube-apiserver ${flag}=${config} --v=2\n` },
  'a plain unit, value apart': { [unit]: `ExecStart=/a \\\n  ${flag} ${config} \\\n  --v=2\n` },
  'a drop-in of the unit': {
    'etc/systemd/system/kube-apiserver.service.d/kms.conf': `Environment="ARGS=${flag}=${config}"\n`,
  },
  "the unit's environment file": { 'etc/default/kube-apiserver': `ARGS="${flag}=${config}"\n` },
  'a file elsewhere that names the socket': {
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\n`,
    'etc/kubernetes/enc.yaml': naming,
  },
  'the socket by its old path': {
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\n`,
    'etc/kubernetes/enc.yaml': 'endpoint: unix:///var/run/kleidi/kms.sock\n',
  },
  'another socket, from kleidi.yaml': {
    'etc/kleidi/kleidi.yaml': 'socket: "/srv/kms/own.sock" # moved\n',
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\n`,
    'etc/kubernetes/enc.yaml': 'endpoint: unix:///srv/kms/own.sock\n',
  },
  'a flag with underscores': { [manifest]: `- --encryption_provider_config=${config}\n` },
  'a flag with underscores of a running process': {
    'proc/42/cmdline': `kube-apiserver\0--encryption_provider_config\0${config}\0`,
  },
  'pods elsewhere, by a drop-in of kubelet': {
    'etc/systemd/system/kubelet.service.d/20-pods.conf':
      '[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --pod-manifest-path=/srv/pods --v=2\n',
    'srv/pods/api.yaml': `- ${flag}=${config}\n`,
  },
  'pods elsewhere, by a configuration elsewhere in kubeadm-flags.env': {
    'var/lib/kubelet/kubeadm-flags.env':
      'KUBELET_KUBEADM_ARGS="--v=2 --config=/srv/kubelet.yaml"\n',
    'srv/kubelet.yaml': 'kind: KubeletConfiguration\nstaticPodPath: /srv/pods\n',
    'srv/pods/api.yaml': `- ${flag}=${config}\n`,
  },
  ...Object.fromEntries(
    ['etc/default/kubelet', 'etc/sysconfig/kubelet'].map((path) => [
      `pods elsewhere, by ${path}`,
      {
        [path]: 'KUBELET_EXTRA_ARGS=--pod_manifest_path /srv/pods\n',
        'srv/pods/api.yaml': `- ${flag}=${config}\n`,
      },
    ]),
  ),
  'pods elsewhere, by a drop-in of a kubelet configuration': {
    'etc/systemd/system/kubelet.service':
      'ExecStart=/usr/bin/kubelet --config /etc/kubelet.yaml --config-dir=/etc/kubelet.d\n',
    'etc/kubelet.d/10-pods.conf': 'staticPodPath: /srv/pods\n',
    'srv/pods/api.yaml': `- ${flag}=${config}\n`,
  },
  'pods elsewhere, by a running kubelet': {
    'proc/7/cmdline': '/usr/bin/kubelet\0--kubeconfig\0--config\0/srv/kubelet/config.json\0',
    'srv/kubelet/config.json': '{"kind":"KubeletConfiguration","staticPodPath":"pods"}',
    'srv/kubelet/pods/api.yaml': `- ${flag}=${config}\n`,
  },
  k0s: {
    'etc/k0s/k0s.yaml': `spec:\n  api:\n    extraArgs:\n      encryption-provider-config: ${config}\n`,
  },
  'k0s, by a configuration elsewhere': {
    'etc/systemd/system/k0scontroller.service':
      'ExecStart=/usr/local/bin/k0s controller --config=/srv/k0s.yaml\n',
    'srv/k0s.yaml': `spec: { api: { extraArgs: { "encryption-provider-config": "${config}" } } }\n`,
  },
  microk8s: {
    'var/snap/microk8s/current/args/kube-apiserver': `--v=2\n${flag}=\${SNAP_DATA}/args/enc.yaml\n`,
    'var/snap/microk8s/current/args/enc.yaml': naming,
  },
  'an environment file elsewhere': {
    [unit]: 'EnvironmentFile=-/srv/api.env\nExecStart=/usr/bin/kube-apiserver $ARGS\n',
    'srv/api.env': `ARGS="${flag}=${config}"\n`,
  },
  'environment files elsewhere, by a wildcard': {
    [unit]: 'EnvironmentFile=/srv/my env/*.env\nExecStart=/usr/bin/kube-apiserver $ARGS\n',
    'srv/my env/api.env': `ARGS="${flag}=${config}"\n`,
  },
  'an environment file that holds the path alone': {
    'srv/api.env': 'ENC="/etc/kubernetes/enc.yaml"\n',
    [unit]: `EnvironmentFile=/srv/api.env\nExecStart=/usr/bin/kube-apiserver ${flag}=\${ENC}\n`,
    'etc/kubernetes/enc.yaml': naming,
  },
  'a wrapper script': {
    [unit]: 'ExecStart=/opt/run-api --v=2\n',
    'opt/run-api': `#!/bin/sh\nexec kube-apiserver \\\n  ${flag}=${config}\n`,
  },
  'a wrapper script behind sh -c': {
    [unit]: `ExecStart=/bin/sh -c '/opt/run-api'\n`,
    'opt/run-api': `#!/bin/sh\nexec kube-apiserver ${flag} "${config}"\n`,
  },
  'what a wrapper script reads': {
    [unit]: 'ExecStart=/opt/run-api\n',
    'opt/run-api': '#!/bin/sh\n. /opt/api.env\nexec kube-apiserver $ARGS\n',
    'opt/api.env': `ARGS=${flag}=${config}\n`,
  },
  'a path with a blank in a manifest': {
    [manifest]: `- ${flag}=/etc/my cluster/enc.yaml # ours\n`,
    'etc/my cluster/enc.yaml': naming,
  },
  'a path with a blank in a unit': {
    [unit]: `ExecStart=/a "${flag}=/etc/my cluster/enc.yaml" --v=2\n`,
    'etc/my cluster/enc.yaml': naming,
  },
  'a path with an escaped blank': {
    [unit]: `ExecStart=/a ${flag}=/etc/my\\x20cluster/enc.yaml --v=2\n`,
    'etc/my cluster/enc.yaml': naming,
  },
  'a path with a blank of a running process': {
    'proc/42/cmdline': `kube-apiserver\0${flag}\0/etc/my cluster/enc.yaml\0--v=2\0`,
    [`proc/42/${'root'}/etc/my cluster/enc.yaml`]: naming,
  },
  'another path in the pod, its folder mounted': {
    [manifest]: `- ${flag}=/k/sub/enc.yaml\nvolumes:\n- hostPath:\n    path: /srv/kms\n  name: k\n`,
    'srv/kms/sub/enc.yaml': naming,
  },
  'another path in the pod, its file mounted': {
    [manifest]: `- ${flag}=/k.yaml\nvolumes: [{name: k, hostPath: {path: /srv/enc.yaml, type: File}}]\n`,
    'srv/enc.yaml': naming,
  },
  "another path in the pod, of which only the socket's mount tells": {
    [manifest]: `- ${flag}=/k/enc.yaml\nvolumes:\n- hostPath: { path: /run/kleidi }\n`,
  },
  'another path in the pod, though the host has a file of that name too': {
    'etc/kubernetes/enc.yaml': other,
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\nvolumeMounts:\n- mountPath: /etc/kubernetes\n  name: k\nvolumes:\n- hostPath: { path: /srv/kms/ }\n  name: k\n`,
    'srv/kms/enc.yaml': naming,
  },
  ...Object.fromEntries(
    [
      'staticPodPath: /srv/pods # ours\n',
      'staticPodPath: "/srv/pods"\n',
      "staticPodPath: '/srv/pods/' # ours\n",
      '{"kind": "KubeletConfiguration", "staticPodPath": "/srv/pods", "port": 1}\n',
      '{"kind":"KubeletConfiguration","staticPodPath":"/srv/pods"}',
    ].map((text) => [
      `pods elsewhere, by ${text.trim()}`,
      { 'var/lib/kubelet/config.yaml': text, 'srv/pods/api.yaml': `- ${flag}=${config}\n` },
    ]),
  ),
  'a running process': { 'proc/42/cmdline': `kube-apiserver\0${flag}=${config}\0` },
  'a running process with its own root folder': {
    'proc/42/cmdline': `kube-apiserver\0${flag}\0/enc.yaml\0`,
    [`proc/42/${'root'}/enc.yaml`]: naming,
  },
};
