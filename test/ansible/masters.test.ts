// Three masters with real API servers, by the playbooks of the collection: from bare hosts
// to Secrets that all three seal, an upgrade, the way back from it and a rotation, each beside
// writers and readers, and the way back to hosts without kleidi.
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
import { isLong } from '../support/long.ts';
import { builtPackage } from '../support/packages.ts';
import { refusingSecrets } from '../support/refusingwebhook.ts';
import type { SystemHost } from '../support/systemhost.ts';

const names = ['cp1', 'cp2', 'cp3'] as const;
const olderVersion = '0.0.9';
/** Each play of all hosts takes a minute. */
const text = 'in-a-secret-0123456789';
const kubeconfig = '--kubeconfig=/etc/kubernetes/admin.conf';

/** A webhook that cannot be reached: no Secret is changed. Errors name its URL. */
const updatesRefused = refusingSecrets('UPDATE', `https://127.0.0.1:1/${text}`);

/** What is not kleidi's alone: a folder of systemd's for the unit, empty, and the host's own key. */
const ofOthers = [
  '/etc/systemd/system/kube-apiserver.service.d',
  '/var/lib/systemd/credential.secret',
];
/** What a removal keeps. */
const left = [
  ...['/etc/kleidi', '/etc/kubernetes/kleidi', '/var/lib/kleidi', '/var/lib/kleidi.unfinished'],
  ...[...ofOthers, '/var/lib/systemd/credential.secret.kleidi'],
].sort();

/** But for what the host's own programs write beside: logs, lists of packages, the data of etcd. */
function filesOf(host: SystemHost): string[] {
  const others = ['/var/log', '/var/lib/dpkg', '/var/lib/apt', '/var/lib/etcd', '/var/cache/apt'];
  const own = ['/proc', '/sys', '/dev', '/run', '/tmp', '/home', '/root', ...others];
  const skipped = own.map((path) => `-path ${path}`).join(' -o ');
  return host.sh(`find / \\( ${skipped} \\) -prune -o -print | sort`).split('\n');
}

await onCluster(async (binaries) => {
  const older = builtPackage('deb', olderVersion);
  const newer = builtPackage('deb');
  const plane = await ControlPlane.boot(binaries);
  const { api, hosts } = plane;
  const controller = new Controller(new Map(names.map((name, i) => [name, plane.host(i)])));
  const recovery = await makeRecovery(controller.folder);
  const fault = '/etc/systemd/system/kube-apiserver.service.d/zz-fault.conf';
  let settings = {
    kleidi_ring: 'prod',
    ...rolloutSettings(recovery),
    kleidi_package: older,
    kleidi_delay: 4,
    kleidi_retries: 100,
  };
  const filesBefore = hosts.map(filesOf);
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

  const versions = (): string[] => hosts.map((host) => host.sh('kleidi --version'));
  const liveDigests = (): string[] => hosts.map((host) => host.sh('kleidi ring digest --live'));

  /** Folders and files beside those of before; of a folder that is new, no more than itself. */
  function newFiles(host: SystemHost): string[] {
    const before = new Set(filesBefore[hosts.indexOf(host)]);
    const all = filesOf(host).filter((path) => !before.has(path));
    return all.filter((path) => !all.some((other) => path.startsWith(`${other}/`)));
  }

  /** The manifest goes to kubectl on the first host. */
  const kubectl = (action: string, manifest: object): string =>
    plane.host(0).sh(`kubectl ${kubeconfig} --server=https://127.0.0.1:6443 ${action} -f -`, {
      input: JSON.stringify(manifest),
    });

  test('an API server that does not start again: the play stops there, the next is untouched', async () => {
    await api.createSecret(0, 'before', text);
    assert.ok(!plane.isSealed(0, 'before'));
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

  test('a second run changes nothing, and leaves each API server alone', async (t) => {
    const begun = performance.now();
    const { changed, output } = await good('site');
    t.diagnostic(`${((performance.now() - begun) / 1000).toFixed(0)} s`);
    assert.deepEqual(changed, { cp1: 0, cp2: 0, cp3: 0 });
    assert.doesNotMatch(output, /Install the deb|Change the files of the API server/);
    await good('verify');
  });

  test('an upgrade, stopped half-way and gone on with, beside writers and readers: no request fails', async (t) => {
    const upgrade = { ...settings, kleidi_package: newer };
    const version = hosts[0]?.sh('kleidi --version') ?? '';
    const newerVersion = newer.split('_')[1] ?? '';
    const digests = liveDigests();
    const all = (found: string): string[] => [found, found, found];
    const load = await ClusterLoad.start(plane);
    const cache = '/var/cache/kleidi';
    plane.host(1).sh(`mv ${cache} ${cache}.away && touch ${cache}`);
    const stopped = await controller.play('site', upgrade);
    plane.host(1).sh(`rm ${cache} && mv ${cache}.away ${cache}`);
    assert.notEqual(stopped.exitCode, 0);
    const [first, ...others] = versions();
    assert.ok(first?.includes(newerVersion), first);
    assert.deepEqual(others, [version, version]);
    await api.createSecret(0, 'by-newer', text);
    await api.createSecret(2, 'by-older', text);
    for (const index of hosts.keys()) {
      for (const name of ['by-newer', 'by-older'])
        assert.equal(await api.secret(index, name), text);
    }

    await controller.complete('site', upgrade);
    assert.deepEqual(versions(), all(first ?? ''));
    const refusal = await play('site');
    assert.notEqual(refusal.exitCode, 0);
    assert.match(
      refusal.output.replace(/\s+/g, ' '),
      /cp1: .* has a newer kleidi.* kleidi_allow_d/,
    );
    assert.deepEqual(versions(), all(first ?? ''));
    if (isLong) {
      await good('site', '-e', 'kleidi_allow_downgrade=true');
      assert.deepEqual(versions(), all(version));
      const { output } = await controller.complete('site', upgrade, '--check');
      assert.match(output, /would be installed on cp1/);
      assert.deepEqual(versions(), all(version));
    } else settings = upgrade;

    const report = await load.stop();
    assert.deepEqual(report.failures, []);
    assert.equal(report.wrong, 0);
    for (const count of [...report.writes, ...report.reads]) assert.ok(count > 0);
    t.diagnostic(`writes ${report.writes.join(' ')}, reads ${report.reads.join(' ')}`);
    assert.deepEqual(liveDigests(), digests);
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

  async function refused(variables: object, reason: RegExp, ...more: string[]): Promise<void> {
    const { exitCode, output, changed } = await controller.play(
      'remove',
      { ...settings, ...variables },
      ...more,
    );
    assert.notEqual(exitCode, 0);
    assert.match(output.replace(/\\n|\s+/g, ' '), reason);
    assert.ok(Object.values(changed).every((count) => count === 0));
    assert.deepEqual(hosts.map(phaseOf), ['write', 'write', 'write']);
  }

  test('remove: not for some of the masters, not by half words, not where a host is not well', async () => {
    await refused({}, /leaves out cp3: a ring/, '--limit', 'cp1,cp2');
    await refused(
      { kleidi_remove_keys: true },
      /neither empty .* nor 'destroy all keys of ring prod'/,
    );
    plane.host(2).sh('systemctl stop kleidi.socket kleidi.service');
    await refused({ kleidi_retries: 1 }, /cp3 does not serve/).finally(() =>
      plane.host(2).sh('systemctl start kleidi.socket kleidi.service'),
    );
    await plane.host(2).until('kleidi status');
    for (const index of hosts.keys()) await api.ready(index);
  });

  test('remove, stopped at the second master: nothing is sealed, the third is as it was', async () => {
    plane.host(1).write(fault, '[Service]\nExecStartPre=/bin/false\n');
    const { exitCode, output } = await play('remove', '-vvv');
    assert.match(output, /metrics\W+proved/, output);
    plane.host(1).sh(`rm ${fault}`);
    assert.notEqual(exitCode, 0);
    assert.match(output.replace(/\s+/g, ' '), /API server of cp2 did not come back without kleidi/);
    assert.deepEqual(hosts.map(phaseOf), ['none', 'none', 'read'], output);
    assert.deepEqual(liveKeyIds(scanSnapshot(plane, 2)), ['']);
  });

  test('remove goes on to hosts without kleidi: all in clear, and nothing there but what it says', async () => {
    const { output } = await good('remove');
    for (const [index, host] of hosts.entries()) {
      assert.equal(await api.secret(index, 'before'), text);
      await api.createSecret(index, `after-${index}`, text);
      assert.ok(!plane.isSealed(0, `after-${index}`));
      assert.deepEqual(newFiles(host), left);
    }
    for (const path of left) assert.ok(output.includes(path), path);
    const again = await good('remove');
    assert.deepEqual(again.changed, { cp1: 0, cp2: 0, cp3: 0 });
  });

  test('in full words the keys go too, of hosts without kleidi as well', async () => {
    const words = { ...settings, kleidi_remove_keys: 'destroy all keys of ring prod' };
    await controller.complete('remove', words);
    for (const host of hosts) assert.deepEqual(newFiles(host), ofOthers);
    for (const index of hosts.keys()) assert.equal(await api.secret(index, 'before'), text);
    if (!isLong) return;
    const again = await controller.complete('remove', words);
    assert.deepEqual(again.changed, { cp1: 0, cp2: 0, cp3: 0 });
  });
});
