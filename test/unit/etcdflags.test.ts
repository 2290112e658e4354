// Under which prefix kube-apiserver of a host keeps its objects, by its flags.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { etcdFlags } from '../../src/apiserver/etcdflags.ts';
import { requireInstallation } from '../../src/apiserver/installation.ts';
import { temporaryFolder } from '../support/folder.ts';

const manifest = readFileSync('test/vectors/apiserver/kubeadm/manifest.yaml', 'utf8');
const inManifest = (lines: string): string =>
  manifest.replace('    - --etcd-servers', `${lines}\n    - --etcd-servers`);
const pod = '/etc/kubernetes/manifests/kube-apiserver.yaml';
const unit = '/etc/systemd/system/kube-apiserver.service';

const cases: readonly (readonly [string, Readonly<Record<string, string>>, string[], string[]])[] =
  [
    ['kubeadm, default', { [pod]: manifest }, [], []],
    ['kubeadm', { [pod]: inManifest('    - --etcd-prefix=/a') }, ['/a'], []],
    ['in two words', { [pod]: inManifest('    - --etcd-prefix\n    - /a') }, ['/a'], []],
    ['with _', { [pod]: inManifest('    - "--etcd_prefix=/a"') }, ['/a'], []],
    [
      'in args',
      { [pod]: manifest.replace('    image:', '    args: [--etcd-prefix=/a]\n    image:') },
      ['/a'],
      [],
    ],
    ['another flag', { [pod]: inManifest('    - --x-etcd-prefix=/a') }, [], []],
    [
      'elsewhere',
      {
        [pod]: inManifest(
          '    - --etcd-servers-overrides=/events#https://a;https://b,apps/x#https://c',
        ),
      },
      [],
      ['/events', 'apps/x'],
    ],
    [
      'rke2',
      { '/etc/rancher/rke2/config.yaml': 'kube-apiserver-arg: etcd-prefix=/a\n' },
      ['/a'],
      [],
    ],
    [
      'k3s, a drop-in',
      {
        '/etc/rancher/k3s/config.yaml': '',
        '/etc/rancher/k3s/config.yaml.d/a.yaml': 'kube-apiserver-arg+: ["--etcd-prefix=/a"]\n',
      },
      ['/a'],
      [],
    ],
    [
      'k3s, its command',
      {
        '/etc/rancher/k3s/config.yaml': '',
        '/etc/systemd/system/k3s.service':
          "[Service]\nExecStart=/usr/local/bin/k3s \\\n  server \\\n  '--kube-apiserver-arg=etcd-prefix=/a'\n",
      },
      ['/a'],
      [],
    ],
    [
      'rke2, a drop-in of its unit',
      {
        '/etc/rancher/rke2/config.yaml': '',
        '/usr/local/lib/systemd/system/rke2-server.service':
          '[Service]\nExecStart=/usr/local/bin/rke2 server\n',
        '/etc/systemd/system/rke2-server.service.d/a.conf':
          '[Service]\nExecStart=\nExecStart=/usr/local/bin/rke2 server --kube-apiserver-arg=etcd-prefix=/a\n',
      },
      ['/a'],
      [],
    ],
    [
      'k3s, an environment file, its unit in /usr/lib',
      {
        '/etc/rancher/k3s/config.yaml': '',
        '/usr/lib/systemd/system/k3s.service':
          '[Service]\nEnvironmentFile=-/etc/default/%N\nEnvironmentFile=/etc/default/k3s\nExecStart=/usr/local/bin/k3s server $ARGS\n',
        '/etc/default/k3s': 'ARGS="--kube-apiserver-arg=etcd-prefix=/a"\n',
      },
      ['/a'],
      [],
    ],
    [
      'k3s, a drop-in of kube-apiserver.service says nothing',
      {
        '/etc/rancher/k3s/config.yaml': '',
        '/etc/systemd/system/kube-apiserver.service.d/a.conf':
          '[Service]\nEnvironment=ARGS=--etcd-prefix=/a\n',
      },
      [],
      [],
    ],
    [
      'unit',
      {
        [unit]:
          '[Service]\n# --etcd-prefix=/old\nExecStart=/bin/kube-apiserver \\\n  --etcd-prefix /a\n',
      },
      ['/a'],
      [],
    ],
    [
      'unit, an environment file',
      {
        [unit]:
          '[Service]\nEnvironmentFile=-/etc/default/api\nExecStart=/bin/kube-apiserver $ARGS\n',
        '/etc/default/api': 'ARGS="--etcd-prefix=/a --v=2"\n',
      },
      ['/a'],
      [],
    ],
  ];

for (const [name, files, prefixes, elsewhere] of cases) {
  test(name, () => {
    const root = temporaryFolder();
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    assert.deepEqual(etcdFlags(requireInstallation(root, undefined)), {
      prefixes,
      elsewhere,
    });
  });
}
