// kubeadm, RKE2 and k3s by the files that they keep on a host; none of them runs here. What
// the playbooks do beside API servers that run: masters.test.ts.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Controller, type Played } from '../support/ansible.ts';
import { makeRecovery } from '../support/ceremony.ts';
import { onCluster } from '../support/clusterbinaries.ts';
import { adminKubeconfig, binaryFolder } from '../support/clusterunits.ts';
import { bareHost } from '../support/installed.ts';
import { builtPackage } from '../support/packages.ts';

const vector = (path: string): string =>
  readFileSync(new URL(`../vectors/apiserver/${path}`, import.meta.url), 'utf8');
const kubectl = `${binaryFolder}/kubectl`;
const manifest = '/etc/kubernetes/manifests/kube-apiserver.yaml';

await onCluster(async (binaries) => {
  const boot = () => bareHost({ bind: [`${binaries}:${binaryFolder}`] });
  const [cp1, cp2, cp3] = [await boot(), await boot(), await boot()];
  const hosts = { cp1, cp2, cp3 };
  const controller = new Controller(new Map(Object.entries(hosts)));
  const recovery = await makeRecovery(controller.folder);
  const settings = {
    kleidi_package: builtPackage('deb'),
    kleidi_recovery_public_key: recovery.pub,
    kleidi_recovery_sha256: recovery.sha256,
    kleidi_delay: 1,
    kleidi_retries: 2,
  };
  const play = (phase: string, ...more: string[]): Promise<Played> =>
    controller.play('site', { ...settings, kleidi_phase: phase }, ...more);

  test('what --check says that each API server would get', async () => {
    const made = await play('none');
    assert.equal(made.exitCode, 0, made.output);
    cp1.write(manifest, vector('kubeadm/manifest.yaml'), 0o600);
    cp1.write('/etc/kubernetes/admin.conf', adminKubeconfig(0), 0o600);
    cp1.sh(`ln -s ${kubectl} /usr/bin/kubectl`);
    cp2.write('/etc/rancher/rke2/config.yaml', vector('rke2/config.yaml'), 0o600);
    cp2.write('/etc/rancher/rke2/rke2.yaml', adminKubeconfig(1), 0o600);
    cp2.sh(`mkdir -p /var/lib/rancher/rke2/bin && ln -s ${kubectl} /var/lib/rancher/rke2/bin/`);
    cp3.write('/etc/rancher/k3s/config.yaml', vector('k3s/config.yaml'), 0o600);
    cp3.write('/etc/rancher/k3s/k3s.yaml', adminKubeconfig(2), 0o600);
    const k3s = `#!/bin/sh\nshift\nexec ${kubectl} --kubeconfig=/etc/rancher/k3s/k3s.yaml "$@"\n`;
    cp3.write('/usr/local/bin/k3s', k3s, 0o755);
    const { exitCode, output, changed } = await play('read', '--check', '--diff');
    assert.equal(exitCode, 0, output);
    assert.deepEqual(changed, { cp1: 1, cp2: 1, cp3: 1 });
    for (const path of [manifest, ...['rke2', 'k3s'].map(dropInOf)])
      assert.ok(output.includes(`+++ ${path}`), path);
    for (const host of Object.values(hosts))
      assert.notEqual(host.try('test -e /etc/kleidi/encryption-config.yaml').exitCode, 0);
    assert.equal(cp1.read(manifest), vector('kubeadm/manifest.yaml').trim());
  });

  test('an API server that does not come back stops the play at its host', async () => {
    const { exitCode, output } = await play('read');
    assert.notEqual(exitCode, 0);
    const said = output.replace(/\s+/g, ' ');
    assert.match(said, /The API server of cp1 did not come to this state within 2 s/);
    assert.match(said, /connection refused|was refused|no route|unreachable/i);
    assert.match(said, /No API server after this one was changed/);
    assert.match(cp1.read(manifest), /--encryption-provider-config=/);
    assert.equal(cp2.read('/etc/rancher/rke2/config.yaml'), vector('rke2/config.yaml').trim());
    assert.notEqual(cp2.try(`test -e ${dropInOf('rke2')}`).exitCode, 0);
  });
});

function dropInOf(kind: string): string {
  return `/etc/rancher/${kind}/config.yaml.d/50-kleidi.yaml`;
}
