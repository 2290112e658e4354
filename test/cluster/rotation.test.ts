// The life of a key on three API servers, beside writers and readers that never stop:
// nobody of them has a request fail. And what a snapshot of this etcd says of it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { apiserverIdHashOf, liveMetrics } from '../../src/apiserver/live/metrics.ts';
import type { ApiLoadReport } from '../support/apiload.ts';
import { letTimePass } from '../support/changetimes.ts';
import { Cluster } from '../support/cluster.ts';
import { onCluster } from '../support/clusterbinaries.ts';
import { createOnAll, promoteLike, promoteOnFirst } from '../support/clusterceremony.ts';
import { ClusterLoad } from '../support/clusterload.ts';
import {
  bringSnapshot,
  liveKeyIds,
  type Scan,
  scanSnapshot,
  snapshotInHost,
} from '../support/clustersnapshot.ts';
import { runOnAll } from '../support/hostcommands.ts';
import { keyIdHashOf } from '../support/kmsmetrics.ts';

await onCluster(async (binaries) => {
  const cluster = await Cluster.boot(binaries);
  const { api, hosts, ceremony } = cluster;
  const indexes = [...hosts.keys()];
  await cluster.takeTo('read');
  const uid = await cluster.uid();
  const first = ringOf(0);
  const keyIds = [first.keyId];

  function ringOf(index: number): { fp: string; keyId: string } {
    const { keks, keyId } = JSON.parse(cluster.host(index).sh('kleidi ring show --json')) as {
      keks: readonly { fp: string; state: string }[];
      keyId: string;
    };
    return { fp: keks.find(({ state }) => state === 'write')?.fp ?? '', keyId };
  }

  const processes = (): string[] =>
    hosts.map((host) => host.sh('systemctl show -p MainPID --value kube-apiserver'));

  async function underLoad(work: () => Promise<void>): Promise<ApiLoadReport> {
    const load = await ClusterLoad.start(cluster);
    await work();
    return load.stop();
  }

  function requireNoneFailed(report: ApiLoadReport): string {
    assert.deepEqual(report.failures, []);
    assert.equal(report.wrong, 0);
    for (const count of [...report.writes, ...report.reads]) assert.ok(count > 0);
    return `writes ${report.writes.join(' ')}, reads ${report.reads.join(' ')}`;
  }

  /** As the runbook has it: one host after the other, then all API servers have the new id. */
  async function promoteEverywhere(fp: string): Promise<void> {
    const promoted = promoteOnFirst(ceremony.first, fp);
    keyIds.push(promoted.keyId);
    for (const host of ceremony.others) promoteLike(host, fp, promoted);
    const digests = hosts.map((host) => host.sh('kleidi ring digest --live'));
    assert.equal(new Set(digests).size, 1);
    // The same once more, to wait: then this very API server writes with the new key id.
    const again = `kleidi key promote ${fp} --generation ${promoted.generation} --wait`;
    const said = await runOnAll(hosts, `promote-${promoted.generation}`, () => again);
    for (const text of said) assert.match(text, /API server of this host has the new key id/);
    for (const index of indexes) {
      assert.equal(await keyIdHashOf(api, index), promoted.keyIdHash);
      assert.equal(await api.get(index, '/readyz/kms-providers'), 'ok');
      const name = `under-${promoted.generation}-by-${index}`;
      await api.createSecret(index, name, 'probe');
      assert.ok(cluster.storedSecret(index, name).includes(promoted.keyId));
    }
  }

  function scan(index: number): Scan {
    const found = scanSnapshot(cluster, index);
    assert.equal(found.clusterUid, uid);
    return found;
  }

  test('phase write without a restart: each API server reads the file again by itself', async (t) => {
    const before = processes();
    const report = await underLoad(async () => {
      await runOnAll(hosts, 'write', (index) => cluster.enabling(index, 'write', '--wait'));
      for (const index of indexes) {
        await api.createSecret(index, `probe-${index}`, 'probe');
        assert.ok(cluster.isSealed(index, `probe-${index}`), `host ${index} writes in clear`);
      }
    });
    t.diagnostic(requireNoneFailed(report));
    assert.deepEqual(processes(), before);
  });

  test('each metric that kleidi reads is there in this line of Kubernetes', async () => {
    const found = liveMetrics(await api.get(0, '/metrics'), 'kleidi');
    const hash = await keyIdHashOf(api, 0);
    assert.equal(found.announced?.keyIdHash, hash);
    assert.equal(found.written?.keyIdHash, hash);
    assert.ok((found.writes.get(hash) ?? 0) > 0);
    assert.equal(found.apiserverIdHash, apiserverIdHashOf(cluster.host(0).sh('hostname')));
    assert.ok(found.startedUnixMs !== undefined && found.startedUnixMs < Date.now());
    assert.equal(found.lastReload?.isGood, true);
    // From 1.34 on.
    const hasHash = process.env['KLEIDI_CLUSTER_LINE'] !== '1.29';
    assert.equal(found.configHash !== undefined, hasHash);
  });

  test('a rotation: no request fails, and each API server has the new key id in its metrics', async (t) => {
    const report = await underLoad(async () => {
      const { fp } = createOnAll(ceremony);
      const openable = hosts.map((host) => host.sh('kleidi ring digest --openable --live'));
      assert.equal(new Set(openable).size, 1);
      await promoteEverywhere(fp);
      await api.rewriteSecrets(1);
    });
    t.diagnostic(requireNoneFailed(report));
    for (const index of indexes) assert.equal(await api.secret(index, 'probe-0'), 'probe');
  });

  test('a real snapshot: every object opens, and nothing live is under the old key id', async () => {
    for (const index of indexes) {
      const found = scan(index);
      assert.equal(found.secretsInClear, 0);
      assert.deepEqual(liveKeyIds(found), [keyIds[1]]);
    }
  });

  test('a rollback: no request fails, the old KEK has a new key id', async (t) => {
    const report = await underLoad(async () => {
      await promoteEverywhere(first.fp);
    });
    t.diagnostic(requireNoneFailed(report));
    assert.deepEqual(ringOf(2), { fp: first.fp, keyId: keyIds[2] });
    assert.equal(new Set(keyIds).size, 3);
    assert.deepEqual(liveKeyIds(scan(0)).sort(), keyIds.slice(1).sort());
  });

  test('an API server that does not run: a promotion is not said to have arrived there', () => {
    const host = cluster.host(1);
    host.sh('systemctl stop kube-apiserver');
    const { fp } = ringOf(1);
    const { exitCode, stderr } = host.try(`kleidi key promote ${fp} --wait --timeout 3`);
    host.sh('systemctl start kube-apiserver', { timeoutMs: 300_000 });
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /has not taken up the change within 3 s: kube-apiserver.service does not run/,
    );
  });

  test('phase only by the proof of a real snapshot: no request fails, and each starts with it', async (t) => {
    await api.ready(...indexes);
    for (const index of indexes) {
      letTimePass(join(cluster.host(index).root, 'var/lib/kleidi/ring.json'));
      bringSnapshot(cluster, index);
    }
    const report = await underLoad(async () => {
      const scanned = ['--scan', snapshotInHost, '--wait'];
      await runOnAll(hosts, 'only', (index) => cluster.enabling(index, 'only', ...scanned));
    });
    t.diagnostic(requireNoneFailed(report));
    for (const index of indexes) {
      await cluster.restartApiServer(index);
      assert.equal(await api.get(index, '/readyz/kms-providers'), 'ok');
      assert.equal(await api.secret(index, 'probe-0'), 'probe');
    }
  });
});
