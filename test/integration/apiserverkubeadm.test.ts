// kubeadm's ClusterConfiguration goes along with the static pod, before it and back
// with it; and what was the operator's own stays in use after disable.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { ApiserverHost } from '../support/apiserverhost.ts';
import { missingTool } from '../support/skip.ts';

const vectors = 'test/vectors/apiserver/kubeadm';
const skip = missingTool('python3');
const clusterConfiguration = readFileSync(`${vectors}/clusterconfiguration-v1beta4.yaml`, 'utf8');

async function good(host: ApiserverHost, ...args: string[]): Promise<object> {
  const { exitCode, stdout, stderr } = await host.run(...args, '--json');
  assert.equal(exitCode, 0, stderr);
  return JSON.parse(stdout) as object;
}

test('the cluster is told before the kubelet is, once, and gets its own text back', {
  skip,
}, async () => {
  const host = await ApiserverHost.serving();
  host.connect(clusterConfiguration);
  const first = await good(host, 'enable', '--phase', 'read');
  assert.equal((first as { cluster?: string }).cluster, 'changed');
  assert.match(host.cluster.text, /encryption-provider-config/);
  assert.deepEqual(
    host.cluster.pods,
    [host.original],
    'patched while the static pod was as before',
  );
  const second = await good(host, 'enable', '--phase', 'read');
  assert.deepEqual(
    { ...second, changes: [], evidence: '' },
    { ...second, changes: [], evidence: '', changed: false, cluster: 'unchanged' },
  );
  await good(host, 'disable', '--no-scan');
  assert.equal(host.cluster.text, clusterConfiguration);
  assert.equal(host.text, host.original);
});

test('a cluster that names another file refuses the whole command', { skip }, async () => {
  const host = await ApiserverHost.serving();
  host.connect(`apiVersion: kubeadm.k8s.io/v1beta3
apiServer:
  extraArgs:
    encryption-provider-config: /etc/enc.yaml
`);
  const { exitCode, stderr } = await host.run('enable', '--phase', 'read');
  assert.equal(exitCode, 1);
  assert.match(stderr, /already names an EncryptionConfiguration: \/etc\/enc\.yaml/);
  assert.equal(host.text, host.original);
  assert.deepEqual(host.cluster.pods, []);
});

test('a version that kleidi does not know is left to people, and the host is enabled', {
  skip,
}, async () => {
  const host = await ApiserverHost.serving();
  host.connect('apiVersion: kubeadm.k8s.io/v1beta9\nkind: ClusterConfiguration\n');
  const { exitCode, stderr } = await host.run('enable', '--phase', 'read');
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /was not changed .*v1beta9.*kubectl -n kube-system edit/);
  assert.notEqual(host.text, host.original);
});

test('without kubectl, disable says what is to be taken out of the ClusterConfiguration', {
  skip,
}, async () => {
  const host = await ApiserverHost.serving();
  await host.run('enable', '--phase', 'read');
  const { exitCode, stderr } = await host.run('disable', '--no-scan');
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /was not changed .* take out of apiServer.extraArgs .* brings them back/);
});

test('a static pod that cannot be written takes the cluster back, too', { skip }, async () => {
  const host = await ApiserverHost.serving();
  host.connect(clusterConfiguration);
  // The name that its replacement must have is too long for the file system.
  const long = `${host.manifest.replace(/[^/]+$/, '')}${'x'.repeat(250)}`;
  writeFileSync(long, host.original);
  rmSync(host.manifest);
  symlinkSync(long, host.manifest);
  const { exitCode, stderr } = await host.run('enable', '--phase', 'read');
  assert.equal(exitCode, 1);
  assert.match(stderr, /everything is as it was before/);
  assert.equal(host.cluster.text, clusterConfiguration);
  assert.equal(host.cluster.pods.length, 2, 'there and back');
  assert.equal(host.text, host.original);
});

test('flags and keys that were in use before kleidi stay, also in a static pod changed since', async () => {
  const host = await ApiserverHost.serving();
  const own = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets] # since 2024
  providers:
  - aescbc: {keys: [{name: key1, secret: c2l4dGVlbiBieXRlcyBub3QgYSBrZXkgYXQgYWxsISE=}]}
  - identity: {}
`;
  mkdirSync(dirname(host.configuration), { recursive: true });
  writeFileSync(host.configuration, own, { mode: 0o640 });
  const named = host.configuration.slice(host.root.length);
  const before = host.original.replace(
    '    image:',
    `    - --encryption-provider-config=${named}\n    image:`,
  );
  writeFileSync(host.manifest, before);
  await good(host, 'enable', '--phase', 'read');
  assert.match(
    readFileSync(host.configuration, 'utf8'),
    /since 2024[\s\S]*aescbc[\s\S]*name: kleidi/,
  );
  const shown = await host.run('plan', '--phase', 'write');
  assert.ok(!shown.stdout.includes('c2l4dGVl'), 'no key is shown');
  writeFileSync(host.manifest, host.text.replace('v1.34.1', 'v1.34.2'));
  await good(host, 'disable', '--no-scan');
  assert.equal(host.text, before.replace('v1.34.1', 'v1.34.2'));
  assert.equal(readFileSync(host.configuration, 'utf8'), own);
});

test('flags that an upgrade has lost are told by status, and come back in the same phase', async () => {
  const host = await ApiserverHost.serving();
  const sure = ['--single-master', '--accept-no-recovery'];
  await good(host, 'enable', '--phase', 'read');
  await good(host, 'enable', '--phase', 'write', ...sure);
  const enabled = host.text;
  writeFileSync(
    host.manifest,
    enabled.replace(/\n.*mountPath: .*\n.*kleidi-config\n.*readOnly.*/, ''),
  );
  const status = async (): Promise<object> => {
    const { exitCode, stdout } = await host.run('status', '--json');
    const { enabled, flagFile, intact, phase } = JSON.parse(stdout) as Record<string, unknown>;
    return { exitCode, enabled, flagFile, intact, phase };
  };
  const flagFile = '/etc/kubernetes/manifests/kube-apiserver.yaml';
  const there = { enabled: true, flagFile, phase: 'write' };
  assert.deepEqual(await status(), { ...there, exitCode: 1, intact: false });
  writeFileSync(host.manifest, host.original);
  assert.deepEqual(await status(), { ...there, exitCode: 1, enabled: false, intact: false });
  assert.match((await host.run('status')).stderr, /enable --phase write makes it again/);
  await good(host, 'enable', '--phase', 'write', ...sure);
  assert.equal(host.text, enabled);
  assert.deepEqual(await status(), { ...there, exitCode: 0, intact: true });
});
