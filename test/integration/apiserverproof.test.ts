// --scan of kleidi apiserver: phase only and disable take a snapshot for a proof only
// where it is of this cluster, under the API server's prefix and younger than the phase.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { apiServerObjects, clusterUid, renewedLease } from '../support/apiobjects.ts';
import { ApiserverHost } from '../support/apiserverhost.ts';
import { letTimePass } from '../support/changetimes.ts';
import { KmsClient } from '../support/client.ts';
import { Etcd } from '../support/etcd.ts';
import { clearObject, newSeed, sealObject } from '../support/kubestore.ts';
import { missingTool } from '../support/skip.ts';

const skip = missingTool('etcd', 'etcdctl');
const sure = ['--single-master', '--accept-no-recovery'];
const foreignUid = '11111111-2222-3333-4444-555555555555';
const clusterConfiguration = `apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
apiServer: {}
`;

async function good(host: ApiserverHost, ...args: string[]): Promise<void> {
  const { exitCode, stderr } = await host.run(...args);
  assert.equal(exitCode, 0, stderr);
}

test('phase only wants a snapshot under the prefix of the API server, of this cluster', {
  skip,
}, async () => {
  const host = await ApiserverHost.serving();
  writeFileSync(
    host.manifest,
    host.original.replace(
      '    - --etcd-servers',
      '    - --etcd-prefix=/mine\n    - --etcd-servers',
    ),
  );
  host.connect(clusterConfiguration);
  await good(host, 'enable', '--phase', 'read');
  const recorded = join(dirname(host.host.ringPath), 'cluster.json');
  assert.equal(JSON.parse(readFileSync(recorded, 'utf8')).uid, clusterUid);
  assert.equal(statSync(recorded).mode & 0o777, 0o600);
  await good(host, 'enable', '--phase', 'write', ...sure);

  const etcd = await Etcd.start(join(host.host.folder, 'etcd'));
  const file = join(host.host.folder, 'a.db');
  const only = (...args: string[]) => {
    rmSync(file, { force: true });
    etcd.snapshot(file);
    return host.run('enable', '--phase', 'only', ...sure, '--scan', file, ...args);
  };
  const refuses = async (reason: RegExp, ...args: string[]): Promise<void> => {
    const before = readFileSync(host.configuration, 'utf8');
    const { exitCode, stderr } = await only(...args);
    assert.equal(exitCode, 1, stderr);
    assert.match(stderr, reason);
    assert.equal(readFileSync(host.configuration, 'utf8'), before);
  };
  const key = '/mine/secrets/default/a';
  await refuses(/holds no object of kube-apiserver under \/mine: it is empty/);
  await etcd.put(clearObject(key), ...apiServerObjects(Date.now(), foreignUid, '/mine'));
  await refuses(/is of another cluster/);
  await refuses(/the API server says that this is cluster/, '--cluster', foreignUid);
  await refuses(/say --etcd-prefix \/mine/, '--prefix', '/registry');
  await etcd.put(...apiServerObjects(Date.now(), clusterUid, '/mine'));
  await refuses(/is too old: .* for this host is at phase write/);
  letTimePass(host.host.ringPath);
  await etcd.put(...apiServerObjects(Date.now(), clusterUid, '/mine'));
  await refuses(/not sealed: 1 secrets \(\/mine\/secrets/);
  const seed = await newSeed(new KmsClient(host.host.socket));
  await etcd.put(sealObject(key, Buffer.from('x'), seed));
  const given = await only();
  assert.equal(given.exitCode, 0, given.stderr);
});

test('disable wants a snapshot that is younger than phase read here', { skip }, async () => {
  const host = await ApiserverHost.serving();
  await good(host, 'enable', '--phase', 'read', '--cluster', clusterUid);
  const etcd = await Etcd.start(join(host.host.folder, 'etcd'));
  await etcd.put(...apiServerObjects(Date.now()), clearObject('/registry/secrets/default/a'));
  const file = join(host.host.folder, 'a.db');
  const disable = (...args: string[]) => {
    rmSync(file, { force: true });
    etcd.snapshot(file);
    return host.run('disable', '--scan', file, ...args);
  };
  assert.match((await disable()).stderr, /is too old/);
  const phaseFile = join(dirname(host.host.ringPath), 'apiserver/phase.json');
  rmSync(phaseFile);
  assert.match((await disable()).stderr, /nothing either way: it is not recorded here since when/);
  // The same phase again records it as of now.
  await good(host, 'enable', '--phase', 'read');
  letTimePass(host.host.ringPath);
  const other = await disable('--cluster', foreignUid);
  assert.match(other.stderr, new RegExp(`this host is of cluster ${clusterUid}`));
  await etcd.put(renewedLease(Date.now()));
  const last = await disable();
  assert.equal(last.exitCode, 0, last.stderr);
  assert.equal(host.text, host.original);
  assert.match(readFileSync(phaseFile, 'utf8'), /"phase": "off"/);
});

test('what enable has changed anew has its time anew', async () => {
  const host = await ApiserverHost.serving();
  await good(host, 'enable', '--phase', 'read');
  letTimePass(host.host.ringPath);
  const phaseFile = join(dirname(host.host.ringPath), 'apiserver/phase.json');
  const first = readFileSync(phaseFile, 'utf8');
  await good(host, 'enable', '--phase', 'read');
  assert.equal(readFileSync(phaseFile, 'utf8'), first);
  // An upgrade has taken the flags away: the API server was at no phase meanwhile.
  writeFileSync(host.manifest, host.original);
  await good(host, 'enable', '--phase', 'read');
  assert.notEqual(readFileSync(phaseFile, 'utf8'), first);
});
