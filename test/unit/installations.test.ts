// How kube-apiserver of a host is found, by its files: wherever the kubelet reads static
// pods, and not on an agent of k3s or RKE2.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { findInstallations } from '../../src/apiserver/installation.ts';
import { temporaryFolder } from '../support/folder.ts';

const pod = 'kind: Pod\n';
const kubelet = '/var/lib/kubelet/config.yaml';
const kubeletDropIn = '/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf';
const unit = '[Service]\nExecStart=/usr/bin/true\n';

const cases: readonly (readonly [string, Readonly<Record<string, string>>, string[]])[] = [
  ['no API server', {}, []],
  ['kubeadm', { '/etc/kubernetes/manifests/kube-apiserver.yaml': pod }, ['kubeadm']],
  [
    'staticPodPath',
    { [kubelet]: 'staticPodPath: /srv/pods\n', '/srv/pods/kube-apiserver.yaml': pod },
    ['kubeadm'],
  ],
  [
    'staticPodPath beside the configuration',
    { [kubelet]: 'staticPodPath: pods\n', '/var/lib/kubelet/pods/kube-apiserver.yaml': pod },
    ['kubeadm'],
  ],
  [
    'the kubelet reads another folder',
    {
      [kubelet]: 'staticPodPath: /srv/pods\n',
      '/etc/kubernetes/manifests/kube-apiserver.yaml': pod,
    },
    [],
  ],
  [
    'flags of the kubelet, in an environment file',
    {
      [kubeletDropIn]: '[Service]\nEnvironmentFile=-/etc/default/kubelet\n',
      '/usr/lib/systemd/system/kubelet.service': unit,
      '/etc/default/kubelet':
        'KUBELET_EXTRA_ARGS="--config=/srv/k.yaml --pod-manifest-path=/srv/a"\n',
      '/srv/k.yaml': 'staticPodPath: /srv/b\n',
      '/srv/a/kube-apiserver.yaml': pod,
    },
    ['kubeadm'],
  ],
  [
    'another configuration of the kubelet',
    {
      '/etc/systemd/system/kubelet.service':
        '[Service]\nExecStart=/usr/bin/kubelet --config /srv/k.yaml\n',
      '/srv/k.yaml': 'staticPodPath: /srv/b\n',
      '/srv/b/kube-apiserver.yaml': pod,
    },
    ['kubeadm'],
  ],
  ['a k3s server, before its first start', { '/etc/rancher/k3s/config.yaml': '' }, ['k3s']],
  [
    'a k3s agent, before its first start',
    { '/etc/rancher/k3s/config.yaml': '', '/etc/systemd/system/k3s-agent.service': unit },
    [],
  ],
  [
    'an RKE2 agent that has run, with both units',
    {
      '/etc/rancher/rke2/config.yaml': '',
      '/usr/local/lib/systemd/system/rke2-agent.service': unit,
      '/usr/local/lib/systemd/system/rke2-server.service': unit,
      '/var/lib/rancher/rke2/agent/kubelet.kubeconfig': '',
    },
    [],
  ],
  [
    'an RKE2 server that has run, with both units',
    {
      '/etc/rancher/rke2/config.yaml': '',
      '/usr/local/lib/systemd/system/rke2-agent.service': unit,
      '/usr/local/lib/systemd/system/rke2-server.service': unit,
      '/var/lib/rancher/rke2/agent/kubelet.kubeconfig': '',
      '/var/lib/rancher/rke2/server/token': '',
    },
    ['rke2'],
  ],
  ['a unit', { '/usr/lib/systemd/system/kube-apiserver.service': unit }, ['unit']],
];

for (const [name, files, expected] of cases) {
  test(name, () => {
    const root = temporaryFolder();
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const found = findInstallations(root).map(({ distribution }) => distribution.name);
    assert.deepEqual(found, expected);
  });
}
