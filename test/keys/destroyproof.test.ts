// kleidi key destroy --scan takes a snapshot for a proof only where it is one: of this
// cluster, under the prefix of its API servers, and younger than the retirement.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { isUnretired } from '../../src/keyring/ring.ts';
import { apiServerObjects, clusterUid, kubeSystem, renewedLease } from '../support/apiobjects.ts';
import { letTimePass } from '../support/changetimes.ts';
import { KmsClient } from '../support/client.ts';
import { Etcd } from '../support/etcd.ts';
import { TestHost } from '../support/host.ts';
import { clearObject, newSeed, sealObject } from '../support/kubestore.ts';
import { missingTool } from '../support/skip.ts';

const skip = missingTool('etcd', 'etcdctl');
const secret = clearObject('/registry/secrets/ns/a');
const foreignUid = '11111111-2222-3333-4444-555555555555';
const leaseKey = '/registry/leases/kube-system/apiserver-a';

/** A host whose first KEK is retired; another is written with. */
async function retiredHost() {
  const host = await TestHost.provisioned();
  const fp = host.ring.keks[0]?.fp ?? assert.fail();
  const created = await host.run('key', 'create', '--json');
  const { fp: next } = JSON.parse(created.stdout) as { fp: string };
  for (const args of [
    ['promote', next],
    ['retire', fp],
  ]) {
    const { exitCode, stderr } = await host.run('key', ...args);
    assert.equal(exitCode, 0, stderr);
  }
  return { host, fp, next };
}

const changes = (host: TestHost): string => join(dirname(host.ringPath), 'changes.json');

test('only a snapshot that proves it lets a KEK go', { skip }, async () => {
  const { host, fp, next } = await retiredHost();
  const etcd = await Etcd.start(join(host.folder, 'etcd'));
  const files: string[] = [];
  const destroy = (...args: string[]) => {
    const file = etcd.snapshot(join(host.folder, `${files.length}.db`));
    files.push(file);
    return host.run('key', 'destroy', fp, '--yes', '--scan', file, ...args);
  };
  const refuses = async (reason: RegExp, ...args: string[]): Promise<void> => {
    const { exitCode, stderr } = await destroy('--cluster', clusterUid, ...args);
    assert.equal(exitCode, 1, stderr);
    assert.match(stderr, reason);
    assert.match(stderr, /^kleidi: hint: /m);
    assert.deepEqual(
      host.ring.keks.map((kek) => kek.fp),
      [fp, next],
    );
  };
  await refuses(/no object of kube-apiserver under \/registry: it is empty/);
  await etcd.put(secret);
  await refuses(/proves nothing either way: the namespace kube-system cannot be read/);
  await refuses(
    /no object of kube-apiserver under \/mine, and 1 keys elsewhere/,
    '--prefix',
    '/mine',
  );
  await etcd.put(kubeSystem(foreignUid));
  await refuses(new RegExp(`is of another cluster: .*${foreignUid}`));
  await etcd.put(kubeSystem());
  await refuses(/proves nothing either way: it has no Lease of an API server/);
  const before = Date.parse(JSON.parse(readFileSync(changes(host), 'utf8')).keks[fp].retired);
  await etcd.put(renewedLease(before - 5_000));
  await refuses(/is too old: its newest Lease/);
  // An API server may write under the old KEK for 3 minutes after the promotion.
  await etcd.put(renewedLease(Date.now()));
  await refuses(/is too old: its newest Lease/);
  letTimePass(host.ringPath);
  await etcd.put([leaseKey, Buffer.from('k8s:enc:aescbc:v1:key1:xxxxxxxx')]);
  await etcd.compact();
  await refuses(/proves nothing either way: 1 Leases of API servers in it are sealed/);
  await etcd.put(renewedLease(Date.now() + 3_600_000));
  await refuses(/proves nothing either way: its newest Lease is of .* clocks/s);
  await etcd.delete(leaseKey);
  await etcd.compact();
  await etcd.put(renewedLease(Date.now()));

  const unnamed = await destroy();
  assert.match(unnamed.stderr, /nothing either way: it is not recorded here which cluster/);
  assert.equal(unnamed.exitCode, 1);
  assert.equal((await destroy('--cluster', 'mine')).exitCode, 2);
  const { exitCode, stderr } = await destroy('--cluster', clusterUid);
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual(
    host.ring.keks.filter(isUnretired).map((kek) => kek.fp),
    [next],
  );
});

test('the prefix is the one of the API server, and objects under the KEK count anywhere', {
  skip,
}, async () => {
  const { host, fp } = await retiredHost();
  const daemon = await host.serve();
  const root = join(host.folder, 'root');
  const manifest = join(root, 'etc/kubernetes/manifests/kube-apiserver.yaml');
  mkdirSync(dirname(manifest), { recursive: true });
  const text = readFileSync('test/vectors/apiserver/kubeadm/manifest.yaml', 'utf8');
  const withFlag = (flag: string): void =>
    writeFileSync(
      manifest,
      text.replace('    - --etcd-servers', `    - ${flag}\n    - --etcd-servers`),
    );
  letTimePass(host.ringPath);
  const etcd = await Etcd.start(join(host.folder, 'etcd'));
  await etcd.put(...apiServerObjects(Date.now()), secret);
  const file = etcd.snapshot(join(host.folder, 'a.db'));
  const destroy = (from: string, ...args: string[]) =>
    host.run(
      ...['key', 'destroy', fp, '--yes', '--cluster', clusterUid],
      ...['--root', root, '--scan', from, ...args],
    );
  const refuses = async (reason: RegExp, from: string, ...args: string[]): Promise<void> => {
    const { exitCode, stderr } = await destroy(from, ...args);
    assert.equal(exitCode, 1, stderr);
    assert.match(stderr, reason);
  };
  withFlag('--etcd-prefix=/mine');
  await refuses(/under \/mine, and \d+ keys elsewhere/, file);
  await refuses(
    /the flags of kube-apiserver say --etcd-prefix \/mine/,
    file,
    '--prefix',
    '/registry',
  );
  withFlag('--etcd-servers-overrides=/secrets#https://10.0.0.9:2379');
  await refuses(/keeps \/secrets in another etcd/, file);
  withFlag('--etcd-servers-overrides=/events#https://10.0.0.9:2379');
  const seed = { ...(await newSeed(new KmsClient(host.socket))), keyId: `k1.test.1.${fp}` };
  await etcd.put(sealObject('/elsewhere/secrets/ns/a', Buffer.from('x'), seed));
  await refuses(/holds 1 objects under KEK/, etcd.snapshot(join(host.folder, 'b.db')));
  const { exitCode, stderr } = await destroy(file, '--prefix', 'registry/');
  assert.equal(exitCode, 0, stderr);
  await daemon.stop();
});

test('a time that was lost is not guessed, and retire records it anew', { skip }, async () => {
  const { host, fp } = await retiredHost();
  const etcd = await Etcd.start(join(host.folder, 'etcd'));
  await etcd.put(...apiServerObjects(Date.now() - 1_000), secret);
  const destroy = (name: string) =>
    host.run(
      ...['key', 'destroy', fp, '--yes', '--cluster', clusterUid],
      ...['--scan', etcd.snapshot(join(host.folder, name))],
    );
  for (const [name, damage] of [
    ['gone', () => rmSync(changes(host))],
    ['null', () => writeFileSync(changes(host), 'null')],
  ] as const) {
    damage();
    const { exitCode, stderr } = await destroy(`${name}.db`);
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /nothing either way: it is not recorded here since when KEK .* is retired/,
    );
  }
  assert.equal((await host.run('key', 'retire', fp)).exitCode, 0);
  assert.match((await destroy('late.db')).stderr, /is too old/);
  await etcd.put(renewedLease(Date.now() + 2_000));
  const { exitCode, stderr } = await destroy('new.db');
  assert.equal(exitCode, 0, stderr);
});

test('retire, undo and retire again: the last time counts', async () => {
  const { host, fp } = await retiredHost();
  letTimePass(host.ringPath);
  const timeOf = (): string | undefined =>
    JSON.parse(readFileSync(changes(host), 'utf8')).keks[fp].retired;
  const first = timeOf() ?? assert.fail();
  await host.run('key', 'retire', fp);
  assert.equal(timeOf(), first, 'it was retired all the time');
  await host.run('key', 'retire', fp, '--undo');
  assert.equal(timeOf(), undefined);
  await host.run('key', 'retire', fp);
  assert.ok((timeOf() ?? '') > first);
});
