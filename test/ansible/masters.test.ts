// Three masters with real API servers, by the playbooks of the collection: from bare hosts
// to Secrets that all three seal, and a rotation beside writers and readers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Controller, type Played, rolloutSettings } from '../support/ansible.ts';
import { waitFor } from '../support/apiservers.ts';
import { makeRecovery } from '../support/ceremony.ts';
import { onCluster } from '../support/clusterbinaries.ts';
import { ClusterLoad } from '../support/clusterload.ts';
import { liveKeyIds, scanSnapshot } from '../support/clustersnapshot.ts';
import { ControlPlane } from '../support/controlplane.ts';
import { keyIdHashOf } from '../support/kmsmetrics.ts';
import { refusingSecrets } from '../support/refusingwebhook.ts';
import type { SystemHost } from '../support/systemhost.ts';

const names = ['cp1', 'cp2', 'cp3'] as const;
const text = 'in-a-secret-0123456789';
const kubeconfig = '--kubeconfig=/etc/kubernetes/admin.conf';

/** A webhook that cannot be reached: no Secret is changed. Errors name its URL. */
const updatesRefused = refusingSecrets('UPDATE', `https://127.0.0.1:1/${text}`);

await onCluster(async (binaries) => {
  const plane = await ControlPlane.boot(binaries);
  const { api, hosts } = plane;
  const controller = new Controller(new Map(names.map((name, i) => [name, plane.host(i)])));
  const recovery = await makeRecovery(controller.folder);
  const settings = {
    kleidi_ring: 'prod',
    ...rolloutSettings(recovery),
    kleidi_delay: 2,
    kleidi_retries: 100,
  };
  const play = (playbook: string, ...more: string[]): Promise<Played> =>
    controller.play(playbook, settings, ...more);
  const good = (playbook: string, ...more: string[]): Promise<Played> =>
    controller.complete(playbook, settings, ...more);

  function requireAllUnder(keyId: string | undefined): void {
    const scan = scanSnapshot(plane, 0);
    assert.equal(scan.secretsInClear, 0);
    assert.deepEqual(liveKeyIds(scan), [keyId]);
  }

  function phaseOf(host: SystemHost): string {
    const status = JSON.parse(host.sh('kleidi apiserver status --json')) as {
      phase: string;
      enabled: boolean;
    };
    return status.enabled ? status.phase : 'none';
  }

  function keyIds(): string[] {
    return hosts.map(
      (host) => (JSON.parse(host.sh('kleidi ring show --json')) as { keyId: string }).keyId,
    );
  }

  /** The manifest goes to kubectl on the first host. */
  const kubectl = (action: string, manifest: object): string =>
    plane.host(0).sh(`kubectl ${kubeconfig} --server=https://127.0.0.1:6443 ${action} -f -`, {
      input: JSON.stringify(manifest),
    });

  test('an API server that does not start again: the play stops there, the next is untouched', async () => {
    await api.createSecret(0, 'before', text);
    assert.ok(!plane.isSealed(0, 'before'));
    const fault = '/etc/systemd/system/kube-apiserver.service.d/zz-fault.conf';
    plane.host(1).write(fault, '[Service]\nExecStartPre=/bin/false\n');
    const { exitCode, output } = await play('site');
    plane.host(1).sh(`rm ${fault}`);
    assert.notEqual(exitCode, 0);
    const said = output.replace(/\s+/g, ' ');
    assert.match(said, /kube-apiserver of cp2 does not start again/);
    assert.match(said, /kleidi apiserver disable there puts its files back/);
    assert.deepEqual(hosts.map(phaseOf), ['read', 'read', 'none'], output);
    assert.ok(await api.isReady(2));
  });

  test('a rewrite that is refused: said, and made up for by the same command', async () => {
    kubectl('create', updatesRefused);
    await waitFor(
      async () => (await api.rewriteSecrets(0).catch(() => 'refused')) === 'refused',
      () => 'the webhook is not asked',
    );
    const stopped = await play('site');
    kubectl('delete', updatesRefused);
    assert.notEqual(stopped.exitCode, 0);
    assert.match(stopped.output, /secrets default\/before \(InternalError, 500\)/);
    assert.deepEqual(hosts.map(phaseOf), ['write', 'write', 'write']);
    assert.ok(!plane.isSealed(0, 'before'));
    assert.ok(!stopped.output.includes(text));
  });

  test('once they are repaired, all API servers write sealed Secrets, those from before too', async () => {
    const { output } = await good('site', '-vvv');
    assert.ok(!output.includes(text) && !output.includes(Buffer.from(text).toString('base64')));
    const [keyId, ...others] = keyIds();
    assert.deepEqual(others, [keyId, keyId]);
    requireAllUnder(keyId);
    for (const index of hosts.keys()) {
      await api.createSecret(index, `by-${index}`, text);
      assert.ok(plane.isSealed(index, `by-${index}`));
      assert.equal(await api.secret(index, 'before'), text);
    }
  });

  test('a second run changes nothing, and --check says so too', async () => {
    for (const more of [[], ['--check']]) {
      const { changed } = await good('site', ...more);
      assert.deepEqual(changed, { cp1: 0, cp2: 0, cp3: 0 });
    }
    await good('verify');
  });

  test('a rotation beside writers and readers: no request fails, one new key id everywhere', async (t) => {
    const [before] = keyIds();
    const load = await ClusterLoad.start(plane);
    const { output } = await good('rotate');
    const report = await load.stop();
    assert.deepEqual(report.failures, [], output);
    assert.equal(report.wrong, 0);
    for (const count of [...report.writes, ...report.reads]) assert.ok(count > 0);
    t.diagnostic(`writes ${report.writes.join(' ')}, reads ${report.reads.join(' ')}`);
    const [keyId, ...others] = keyIds();
    assert.notEqual(keyId, before);
    assert.deepEqual(others, [keyId, keyId]);
    requireAllUnder(keyId);
    const hashes = await Promise.all([0, 1, 2].map((index) => keyIdHashOf(api, index)));
    assert.equal(new Set(hashes).size, 1);
    for (const index of hosts.keys()) assert.equal(await api.secret(index, 'before'), text);
  });
});
