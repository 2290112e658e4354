// `kleidi apiserver` on a booted host as kubeadm leaves it, with the real daemon.
// kubectl is a stand-in: a script that keeps the ConfigMap in a file; no API server
// runs here.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { clientOf, installedHost } from '../support/installed.ts';
import { onHosts } from '../support/systemhost.ts';

const vectors = 'test/vectors/apiserver/kubeadm';
const read = (name: string): string => readFileSync(`${vectors}/${name}`, 'utf8');
const manifest = '/etc/kubernetes/manifests/kube-apiserver.yaml';

const kubectl = `#!/usr/lib/kleidi/bin/node
const { readFileSync, writeFileSync } = require('node:fs');
const args = process.argv.slice(2).filter((each) => !each.startsWith('-'));
const store = '/var/aside/kubeadm-config';
if (args[0] === 'get') {
  console.log(JSON.stringify({ metadata: { resourceVersion: '1' }, data: { ClusterConfiguration: readFileSync(store, 'utf8') } }));
} else {
  writeFileSync(store, JSON.parse(readFileSync(0, 'utf8')).data.ClusterConfiguration);
}
`;

await onHosts(async () => {
  const host = await installedHost();
  host.write(manifest, read('manifest.yaml'), 0o600);
  host.write('/etc/kubernetes/admin.conf', 'stand-in\n', 0o600);
  host.write('/var/aside/kubeadm-config', read('clusterconfiguration-v1beta4.yaml'));
  host.write('/usr/local/bin/kubectl', kubectl, 0o755);
  const cluster = (): string => host.read('/var/aside/kubeadm-config').trim();

  test('the file that the installation has made is taken up; static pod and cluster are changed', () => {
    assert.match(host.sh('kleidi apiserver status'), /named by flags +no/);
    host.sh('kleidi apiserver enable --phase read');
    assert.equal(host.read(manifest).trim(), read('manifest.yaml.read').trim());
    assert.equal(host.sh(`stat -c %a ${manifest}`), '600');
    assert.equal(cluster(), read('clusterconfiguration-v1beta4.yaml.enabled').trim());
    assert.equal(host.sh('ls -A /etc/kubernetes/manifests'), 'kube-apiserver.yaml');
    assert.match(host.sh('kleidi doctor --only apiserver'), /kube-apiserver reads it, by kubeadm/);
  });

  test("write wants the digest of another member, equal to this host's; the package cannot be removed meanwhile", () => {
    const wrong = host.try(
      `kleidi apiserver enable --phase write --accept-no-recovery --ring-digest sha256:${'0'.repeat(64)}@cp2.00000000`,
    );
    assert.match(wrong.stderr, /the ring of this host is another/);
    host.sh(
      'kleidi apiserver enable --phase write --accept-no-recovery --ring-digest $(kleidi ring digest --live)@cp2.00000000',
    );
    assert.match(host.sh('kleidi apiserver status'), /phase +write/);
    const refused = host.try('dpkg -r kleidi');
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stderr, /kube-apiserver\.yaml[\s\S]*apiserver\/record\.json/);
  });

  test('a read-only file system: a clear error, nothing changed', () => {
    host.sh(
      'mount --bind /etc/kubernetes /etc/kubernetes; mount -o remount,bind,ro /etc/kubernetes',
    );
    const refused = host.try('kleidi apiserver enable --phase read');
    host.sh('umount /etc/kubernetes');
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /everything is as it was before/);
    assert.match(host.sh('kleidi apiserver status'), /phase +write/);
  });

  test('all the way back; what called before does not keep the package', async () => {
    const client = clientOf(host);
    await client.status();
    client.close();
    await host.until(`kleidi status --json | grep '"clients":0'`);
    host.sh('kleidi apiserver enable --phase read; kleidi apiserver disable --no-scan');
    assert.equal(host.read(manifest).trim(), read('manifest.yaml').trim());
    assert.equal(cluster(), read('clusterconfiguration-v1beta4.yaml').trim());
    assert.notEqual(JSON.parse(host.sh('kleidi status --json')).lastCallUnixMs, 0);
    host.sh('dpkg -r kleidi');
  });
});
