// `kleidi apiserver` where it is killed, where nothing can be written, where no
// daemon serves, and where a snapshot shows that it is too early.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { faultsIn } from '../../src/apiserver/encryptionrules.ts';
import { apiServerObjects, clusterUid } from '../support/apiobjects.ts';
import { ApiserverHost } from '../support/apiserverhost.ts';
import { letTimePass } from '../support/changetimes.ts';
import { KmsClient } from '../support/client.ts';
import { Etcd } from '../support/etcd.ts';
import { KillAtStep } from '../support/killatstep.ts';
import { program } from '../support/kleidi.ts';
import { clearObject, newSeed, sealObject } from '../support/kubestore.ts';
import { missingTool, skipReason } from '../support/skip.ts';

const sure = ['--single-master', '--accept-no-recovery'];

function requireWhole(host: ApiserverHost, manifests: readonly string[]): void {
  assert.ok(manifests.includes(host.text), 'the static pod is the old one or the new one');
  assert.deepEqual(host.pods, ['kube-apiserver.yaml']);
  if (!existsSync(host.configuration)) return;
  assert.deepEqual(faultsIn(parse(readFileSync(host.configuration, 'utf8'))), []);
}

test('killed before any step, the next run finishes; and disable gives back every byte', {
  skip: missingTool('cc'),
}, async () => {
  const killer = new KillAtStep();
  const host = await ApiserverHost.serving();
  await host.run('enable', '--phase', 'read');
  const enabled = host.text;
  await host.run('disable', '--no-scan');
  const both = [host.original, enabled];

  const done = await killer.walk(
    'enable',
    (env) => host.runWith({ env }, 'enable', '--phase', 'read'),
    async () => requireWhole(host, both),
  );
  assert.equal(done.last.exitCode, 0, done.last.stderr);
  assert.ok(done.steps > 10, `${done.steps} steps`);
  assert.equal(host.text, enabled);
  assert.deepEqual(readdirSync(dirname(host.manifest)), ['kube-apiserver.yaml'], 'nothing is left');

  const undone = await killer.walk(
    'disable',
    (env) => host.runWith({ env }, 'disable', '--no-scan'),
    async () => requireWhole(host, both),
  );
  assert.equal(undone.last.exitCode, 0, undone.last.stderr);
  assert.equal(host.text, host.original);
  assert.ok(!existsSync(host.configuration));
  assert.deepEqual(readdirSync(dirname(host.manifest)), ['kube-apiserver.yaml']);
});

test('a change of phase that was killed anywhere is finished, and still undone to the byte', {
  skip: missingTool('cc'),
}, async () => {
  const killer = new KillAtStep();
  const host = await ApiserverHost.serving();
  await host.run('enable', '--phase', 'read');
  const { last } = await killer.walk(
    'enable',
    (env) => host.runWith({ env }, 'enable', '--phase', 'write', ...sure),
    async () => {
      assert.deepEqual(faultsIn(parse(readFileSync(host.configuration, 'utf8'))), []);
      // From the state that the kill has left, and with nothing finished first.
      const { stdout } = await host.run('status', '--json');
      const { phase } = JSON.parse(stdout) as { phase: string };
      assert.ok(['read', 'write'].includes(phase), phase);
    },
  );
  assert.equal(last.exitCode, 0, last.stderr);
  await host.run('enable', '--phase', 'read');
  assert.equal((await host.run('disable', '--no-scan')).exitCode, 0);
  assert.equal(host.text, host.original);
  assert.ok(!existsSync(host.configuration));
});

test('a read-only file system: a clear error, nothing changed, nothing recorded', {
  skip:
    process.getuid?.() === 0 ? missingTool('unshare', 'mount') : skipReason('needs root, to mount'),
}, async () => {
  const host = await ApiserverHost.serving();
  const etc = join(host.root, 'etc');
  const command = [
    ...[process.execPath, program, 'apiserver', 'enable', '--phase', 'read'],
    ...['--root', host.root, '--config', host.host.configPath],
  ];
  const { status, stderr } = spawnSync(
    'unshare',
    ['-m', 'sh', '-c', 'mount --bind -o ro "$0" "$0" && exec "$@"', etc, ...command],
    { encoding: 'utf8' },
  );
  assert.equal(status, 1, stderr);
  assert.match(stderr, /kube-apiserver\.yaml cannot be changed: .*EROFS/);
  assert.match(stderr, /hint: .*read-only/);
  assert.equal(host.text, host.original);
  assert.ok(!existsSync(host.configuration));
  assert.ok(!existsSync(join(dirname(host.host.ringPath), 'apiserver/record.json')));
});

test('without a daemon that serves, nothing is enabled', async () => {
  const host = await ApiserverHost.serving();
  rmSync(host.host.socket);
  const { exitCode, stderr } = await host.run('enable', '--phase', 'read');
  assert.equal(exitCode, 1);
  assert.match(stderr, /no kleidi daemon listens/);
  assert.equal(host.text, host.original);
});

test('a snapshot refuses what would leave objects unreadable', {
  skip: missingTool('etcd', 'etcdctl'),
}, async () => {
  const host = await ApiserverHost.serving();
  const etcd = await Etcd.start(join(host.host.folder, 'etcd'));
  const file = (name: string): string => etcd.snapshot(join(host.host.folder, name));
  const seed = await newSeed(new KmsClient(host.host.socket));
  const key = '/registry/secrets/default/a';
  await host.run('enable', '--phase', 'read', '--cluster', clusterUid);
  await host.run('enable', '--phase', 'write', ...sure);
  letTimePass(host.host.ringPath);
  await etcd.put(...apiServerObjects(Date.now()));
  await etcd.put(clearObject(key));
  const only = (name: string) =>
    host.run('enable', '--phase', 'only', ...sure, '--scan', file(name));
  const early = await only('clear.db');
  assert.equal(early.exitCode, 1);
  assert.match(early.stderr, /not sealed: 1 secrets \(.*hint: rewrite/s);
  await etcd.put(sealObject(key, Buffer.from('x'), seed, 'other'));
  assert.equal((await only('other.db')).exitCode, 1, 'another plugin is not kleidi');
  await etcd.put(sealObject(key, Buffer.from('x'), seed));
  const given = await only('sealed.db');
  assert.equal(given.exitCode, 0, given.stderr);

  for (const phase of ['write', 'read'])
    await host.run('enable', '--phase', phase, ...(phase === 'write' ? sure : []));
  letTimePass(host.host.ringPath);
  const disable = (name: string) => host.run('disable', '--scan', file(name));
  assert.match((await disable('still.db')).stderr, /that kleidi has sealed: 1 secrets/);
  await etcd.put(clearObject(key));
  assert.match((await disable('older.db')).stderr, /sealed: 1 earlier secrets.*compaction/s);
  await etcd.compact();
  const last = await disable('none.db');
  assert.equal(last.exitCode, 0, last.stderr);
  assert.equal(host.text, host.original);
});
