// Every Secret of three API servers is written anew after a rotation, beside writers and
// through two kills: no write of anybody is lost, and nothing stays under the old key id.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { letTimePass } from '../support/changetimes.ts';
import { Cluster } from '../support/cluster.ts';
import { onCluster } from '../support/clusterbinaries.ts';
import { createOnAll, promoteLike, promoteOnFirst } from '../support/clusterceremony.ts';
import { ClusterSecrets } from '../support/clustersecrets.ts';
import {
  bringSnapshot,
  liveKeyIds,
  scanSnapshot,
  snapshotInHost,
} from '../support/clustersnapshot.ts';
import { secretName } from '../support/secretload.ts';

interface Report {
  readonly objects: number;
  readonly rewritten: number;
  readonly unchanged: number;
  readonly gone: number;
  readonly refused: number;
  readonly conflicts: number;
  readonly durationMs: number;
  readonly objectsPerSecond: number;
  readonly metrics: string;
}

const count = process.env['KLEIDI_TEST_LONG'] === '1' ? 10_000 : 1_000;
const last = secretName(count - 1);
/** These have writers all the time. */
const busy = Array.from({ length: count / 100 }, (_, i) => secretName(i * 100));
const config = '/etc/kubernetes/kleidi/encryption-config.yaml';

await onCluster(async (binaries) => {
  const cluster = await Cluster.boot(binaries);
  const { api, hosts, ceremony } = cluster;
  const secrets = new ClusterSecrets(cluster);
  const [first] = [cluster.host(0)];
  await secrets.create(0, count / 2);
  await cluster.takeTo('read');

  const refusal = (options = ''): string => {
    const { exitCode, stderr } = first.try(`kleidi apiserver rewrite ${options}`);
    assert.notEqual(exitCode, 0);
    return stderr;
  };

  test('refused at phase read, and on another configuration than the file', async () => {
    assert.match(refusal(), /is at phase read: what it writes is not sealed/);
    await cluster.takeTo('write');
    const good = first.read(config);
    first.write(config, `${good}\n# another\n`, 0o600);
    const said = refusal();
    first.write(config, `${good}\n`, 0o600);
    assert.match(
      said,
      /not up to date: (it runs on another configuration|which configuration it runs on cannot)/,
    );
    assert.match(refusal('--resource configmaps'), /'configmaps' is not sealed by kleidi: secrets/);
    assert.match(refusal('--back'), /is at phase write: --back is for phase read/);
    await secrets.create(count / 2, count);
  });

  const unitOf = (turn: number): string => `rewrite-${turn}`;
  const isUnder = (keyId: string, name: string): boolean =>
    cluster.storedSecret(0, name).includes(keyId);

  /** In a unit: the writers' child needs this thread now and then. */
  function start(turn: number): void {
    first.sh(`systemd-run --unit=${unitOf(turn)} --property=RemainAfterExit=yes \
      --property=StandardOutput=file:/root/report-${turn} \
      --property=StandardError=journal kleidi apiserver rewrite --json`);
  }

  const property = (turn: number, name: string): string =>
    first.sh(`systemctl show -p ${name} --value ${unitOf(turn)}`);

  /** Killed as soon as the Secret of that number, which has no writer, is under the key id. */
  async function killAt(turn: number, index: number, keyId: string): Promise<void> {
    start(turn);
    while (!isUnder(keyId, secretName(index))) {
      assert.equal(property(turn, 'SubState'), 'running', first.journal(unitOf(turn)));
      await sleep(20);
    }
    first.sh(`systemctl kill --signal=SIGKILL ${unitOf(turn)}`);
    await first.until(`systemctl show -p Result --value ${unitOf(turn)} | grep -q signal`);
  }

  /** @returns most memory that the command had, as far as was seen */
  async function finish(turn: number): Promise<string> {
    let peak = '';
    while (property(turn, 'SubState') === 'running') {
      const pid = property(turn, 'MainPID');
      const seen = first.try(`grep VmHWM /proc/${pid}/status`).stdout.trim();
      peak = seen === '' ? peak : seen;
      await sleep(100);
    }
    assert.equal(property(turn, 'ExecMainStatus'), '0', first.journal(unitOf(turn)));
    return peak.replace(/\s+/g, ' ');
  }

  const reportOf = (turn: number): Report =>
    JSON.parse(first.read(`/root/report-${turn}`)) as Report;

  test('killed twice and run again beside writers: nobody has lost a write', async (t) => {
    const { fp } = createOnAll(ceremony);
    const promoted = promoteOnFirst(ceremony.first, fp);
    for (const host of ceremony.others) promoteLike(host, fp, promoted);
    for (const host of hosts)
      host.sh(`kleidi key promote ${fp} --generation ${promoted.generation} --wait`, {
        timeoutMs: 330_000,
      });
    await secrets.write(busy);
    await killAt(1, count / 10 + 1, promoted.keyId);
    await killAt(2, count / 5 + 1, promoted.keyId);
    assert.ok(!isUnder(promoted.keyId, last));
    start(3);
    const peak = await finish(3);
    const written = await secrets.stop();
    const report = reportOf(3);
    t.diagnostic(`${JSON.stringify(report)} ${peak} ${first.journal(unitOf(3))}`);
    assert.doesNotMatch(first.journal(unitOf(3)), /Warning/);
    assert.equal(report.refused, 0);
    assert.equal(report.metrics, 'proved');
    assert.ok(report.rewritten > 0 && report.unchanged >= count / 10);
    assert.deepEqual(await valuesNow(), written);
    const scan = scanSnapshot(cluster, 1);
    assert.equal(scan.secretsInClear, 0);
    assert.deepEqual(liveKeyIds(scan), [promoted.keyId]);
  });

  /** As an API server reads them. */
  async function valuesNow(): Promise<Record<string, string>> {
    const { items } = JSON.parse(
      await api.get(2, '/api/v1/namespaces/default/secrets?limit=20000'),
    ) as { items: readonly { metadata: { name: string }; data: { value: string } }[] };
    const text = (base64: string): string => Buffer.from(base64, 'base64').toString();
    return Object.fromEntries(
      items.map(({ metadata, data }) => [metadata.name, text(data.value)] as const),
    );
  }

  test('once more with a snapshot: nothing is written, and all of it is proved', () => {
    letTimePass(join(first.root, 'var/lib/kleidi/ring.json'));
    bringSnapshot(cluster, 0);
    const { exitCode, stdout, stderr } = first.try(
      `kleidi apiserver rewrite --json --snapshot ${snapshotInHost}`,
    );
    assert.equal(exitCode, 0, stderr);
    const report = JSON.parse(stdout) as Report;
    assert.equal(report.rewritten, 0);
    assert.ok(report.unchanged >= count);
    assert.match(stderr, /nothing is in clear or under another key id/);
  });
});
