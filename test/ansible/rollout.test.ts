// Three masters, by the playbooks of the collection: from bare hosts to one ring that all
// serve, a rotation, and what a fault on the second of them does. In the end each host has
// the files of kubeadm, RKE2 or k3s; API servers that run: masters.test.ts.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  Controller,
  filesWith,
  type Played,
  rolloutSettings,
  type Variables,
} from '../support/ansible.ts';
import { makeRecovery } from '../support/ceremony.ts';
import { onCluster } from '../support/clusterbinaries.ts';
import { makeClusterCertificates } from '../support/clustercertificates.ts';
import { hostAddresses } from '../support/clusternetwork.ts';
import { adminKubeconfig, binaryFolder, certificateFolder } from '../support/clusterunits.ts';
import { temporaryFolder } from '../support/folder.ts';
import { bareHost } from '../support/installed.ts';
import { kleidi } from '../support/kleidi.ts';
import { isLong } from '../support/long.ts';
import { passphrase } from '../support/recoveryset.ts';
import type { SystemHost } from '../support/systemhost.ts';

const names = ['cp1', 'cp2', 'cp3'] as const;

const vector = (path: string): string =>
  readFileSync(new URL(`../vectors/apiserver/${path}`, import.meta.url), 'utf8');
const kubectl = `${binaryFolder}/kubectl`;
const manifest = '/etc/kubernetes/manifests/kube-apiserver.yaml';

await onCluster(async (binaries) => {
  const boot = () => bareHost({ bind: [`${binaries}:${binaryFolder}`] });
  const [cp1, cp2, cp3] = [await boot(), await boot(), await boot()];
  const hosts = new Map<string, SystemHost>(
    names.map((name, i) => [name, [cp1, cp2, cp3][i] ?? cp1]),
  );
  const controller = new Controller(hosts);
  const recovery = await makeRecovery(controller.folder);
  let settings = {
    kleidi_ring: 'prod',
    ...rolloutSettings(recovery),
    kleidi_phase: 'none',
    kleidi_retries: 6,
    kleidi_delay: 2,
    kleidi_metrics_enabled: true,
  };
  controller.prometheus.add('cp3');
  const play = (playbook: string, ...more: string[]): Promise<Played> =>
    controller.play(playbook, settings, ...more);
  const good = (playbook: string, ...more: string[]): Promise<Played> =>
    controller.complete(playbook, settings, ...more);
  const liveDigests = (): Set<string> =>
    new Set([...hosts.values()].map((host) => host.sh('kleidi ring digest --live')));
  const generationOf = (host: SystemHost): number =>
    (JSON.parse(host.sh('kleidi ring show --json')) as { generation: number }).generation;

  test('--check on bare hosts says what would be done, and does none of it', async () => {
    const { changed } = await good('site', '--check', '--diff');
    assert.deepEqual(Object.keys(changed).sort(), [...names]);
    for (const [name, host] of hosts) {
      assert.ok((changed[name] ?? 0) > 0, name);
      assert.notEqual(host.try('test -e /usr/bin/kleidi || test -e /etc/kleidi').exitCode, 0);
    }
  });

  test('from bare hosts to one ring on all, with nothing secret in what is said or kept', async () => {
    const { output } = await good('site', '-vvv');
    assert.equal(liveDigests().size, 1);
    for (const host of hosts.values()) {
      assert.equal(generationOf(host), 1);
      assert.match(host.sh('kleidi status'), /^serving/);
      assert.notEqual(host.try('test -e /var/lib/kleidi/ceremony').exitCode, 0);
      assert.equal(host.sh('ls /var/lib/kleidi/bundles | wc -l'), '1');
      const pin = host.sh('systemd-creds decrypt --name=pin /etc/kleidi/credentials/pin.cred -');
      assert.ok(pin.length >= 32 && !output.includes(pin), 'a PIN is in the output');
      assert.deepEqual(filesWith(controller.folder, pin), []);
    }
  });

  test('metrics: asked for, elsewhere, and no longer; no daemon is restarted', async () => {
    // One host: that the others are as before is asserted, too.
    const set = (more: Variables) =>
      controller.complete('metrics', { ...settings, ...more }, '--limit', 'cp2');
    const before = [...hosts.values()].map(startOf);
    for (const host of hosts.values()) assert.match(metricsOf(host), /^kleidi_serving 1$/m);
    const targets = JSON.parse(cp3.read('/etc/prometheus/targets/kleidi-prod.json')) as unknown;
    const labels = { job: 'kleidi', cluster: 'prod' };
    assert.deepEqual(targets, [{ targets: ['cp1:9464', 'cp2:9464', 'cp3:9464'], labels }]);
    const rules = '/etc/prometheus/rules/kleidi.rules.yaml';
    assert.equal(cp3.read(rules), cp1.read('/usr/share/kleidi/kleidi.rules.yaml'));
    assert.notEqual(cp1.try('test -e /etc/prometheus').exitCode, 0);

    const elsewhere = { kleidi_metrics_address: '127.0.0.2:9465' };
    // The proxy is at work, or was a moment ago.
    metricsOf(cp2);
    await set(elsewhere);
    assert.match(metricsOf(cp2, '127.0.0.2:9465'), /^kleidi_serving 1$/m);
    assert.doesNotMatch(cp2.sh('ss -Htln'), /:9464/);
    assert.deepEqual((await set(elsewhere)).changed, { cp2: 0 });

    const off = { ...elsewhere, kleidi_metrics_enabled: false };
    await set(off);
    assert.doesNotMatch(cp2.sh('ss -Htln'), /:946[45]/);
    assert.match(cp2.try('systemctl is-enabled kleidi-metrics.socket').stdout, /^disabled/);
    assert.deepEqual((await set(off)).changed, { cp2: 0 });
    assert.match(metricsOf(cp1), /^kleidi_serving 1$/m);
    // As all have it, and as the later tests of this file expect it.
    await set({});
    assert.match(metricsOf(cp2), /^kleidi_serving 1$/m);
    assert.deepEqual([...hosts.values()].map(startOf), before);
  });

  test('verify tells all masters are alike, and which one is not', async () => {
    await good('verify');
    cp3.sh('systemctl stop kleidi.socket kleidi.service');
    const { exitCode, output } = await play('verify');
    assert.notEqual(exitCode, 0);
    assert.match(output, /cp3: no answer/);
    assert.match(output, /kleidi doctor names each fault/);
    cp3.sh('systemctl start kleidi.socket kleidi.service');
    await cp3.until('kleidi status');
    await good('verify');
  });

  test('a rotation stops at each fault on the second master, and the same command goes on', async () => {
    cp2.sh('systemctl mask --now --runtime kleidi.socket kleidi.service');
    const first = await play('rotate');
    cp2.sh('systemctl unmask --runtime kleidi.socket kleidi.service');
    cp2.sh('systemctl start kleidi.socket kleidi.service');
    assert.notEqual(first.exitCode, 0);
    assert.match(first.output, /no kleidi daemon listens/);
    assert.deepEqual([cp1, cp2, cp3].map(generationOf), [1, 1, 1]);
    // The KEK has a way back first, or it is not taken in.
    cp2.sh('mount --bind /var/lib/kleidi/bundles /var/lib/kleidi/bundles');
    cp2.sh('mount -o remount,bind,ro /var/lib/kleidi/bundles');
    const second = await play('rotate');
    cp2.sh('umount /var/lib/kleidi/bundles');
    assert.notEqual(second.exitCode, 0);
    const staged = (host: SystemHost): string =>
      host.sh('kleidi ring show --json | grep -c staged || :');
    assert.deepEqual([cp1, cp2, cp3].map(staged), ['1', '0', '0'], second.output);
    const site = await play('site');
    assert.notEqual(site.exitCode, 0);
    assert.match(site.output, /A rotation was stopped half-way. Run kleidi.kleidi.rotate again/);
    await good('rotate');
    assert.deepEqual([cp1, cp2, cp3].map(generationOf), [2, 2, 2]);
    assert.equal(liveDigests().size, 1);
    assert.equal(cp1.sh('ls /var/lib/kleidi/bundles | wc -l'), '2', 'one KEK for the rotation');
  });

  test('another recovery key: two runs, the private halves apart, one digest on all', async () => {
    const offline = temporaryFolder();
    const next = await makeRecovery(offline);
    const ceremony = join(controller.folder, 'ceremony');
    const renewed = {
      ...settings,
      ...rolloutSettings({
        ...next,
        pub: controller.write('new.pub', readFileSync(next.pub, 'utf8')),
      }),
    };
    const asked = await controller.complete('replace_recovery', {
      ...renewed,
      kleidi_ceremony_folder: ceremony,
    });
    const onController = ['folder', 'backup.json', 'new.pub'].length;
    assert.deepEqual(asked.changed, { cp1: onController, cp2: 0, cp3: 0 });
    const [command = assert.fail(asked.output)] =
      /kleidi recovery replace [^"]*/.exec(asked.output) ?? [];
    const args = command
      .split(' ')
      .slice(1)
      .map((word) =>
        word === 'recovery.key'
          ? recovery.key
          : /\.(json|pub|bundle)\b/.test(word)
            ? join(ceremony, word)
            : word,
      );
    const made = await kleidi([...args, '--json', '--passphrase-fd', '0'], { input: passphrase });
    assert.equal(made.exitCode, 0, made.stderr);
    const { digest } = JSON.parse(made.stdout) as { digest: string };
    const second = {
      ...renewed,
      kleidi_bundle: join(ceremony, 'new.bundle'),
      kleidi_bundle_digest: digest,
    };
    const wrong = { ...second, kleidi_bundle_digest: `sha256:${'0'.repeat(64)}` };
    const stopped = await controller.play('replace_recovery', wrong);
    assert.notEqual(stopped.exitCode, 0);
    assert.equal(liveDigests().size, 1);
    assert.ok(!liveDigests().has(digest));
    await controller.complete('replace_recovery', second);
    assert.deepEqual([...liveDigests()], [digest]);
    for (const host of hosts.values()) {
      assert.ok(host.read('/var/lib/kleidi/pin.recovery.json').includes(next.sha256));
      assert.notEqual(host.try('test -e /var/lib/kleidi/ceremony').exitCode, 0);
    }
    settings = renewed;
    if (!isLong) return;
    const again = await controller.complete('replace_recovery', second);
    assert.deepEqual(again.changed, { cp1: 0, cp2: 0, cp3: 0 });
  });

  /** From here on each host has the files of a distribution; none of their API servers runs. */
  const reading = () => ({ ...settings, kleidi_phase: 'read' });

  test('what --check says that each API server would get', async () => {
    cp1.write(manifest, vector('kubeadm/manifest.yaml'), 0o600);
    cp1.write('/etc/kubernetes/admin.conf', adminKubeconfig(0), 0o600);
    for (const [name, contents] of makeClusterCertificates(controller.folder, hostAddresses))
      cp1.write(`${certificateFolder}/${name}`, contents, 0o600);
    cp1.sh(`ln -s ${kubectl} /usr/bin/kubectl`);
    cp2.write('/etc/rancher/rke2/config.yaml', vector('rke2/config.yaml'), 0o600);
    cp2.write('/etc/rancher/rke2/rke2.yaml', adminKubeconfig(1), 0o600);
    cp2.sh(`mkdir -p /var/lib/rancher/rke2/bin && ln -s ${kubectl} /var/lib/rancher/rke2/bin/`);
    cp3.write('/etc/rancher/k3s/config.yaml', vector('k3s/config.yaml'), 0o600);
    cp3.write('/etc/rancher/k3s/k3s.yaml', adminKubeconfig(2), 0o600);
    const k3s = `#!/bin/sh\nshift\nexec ${kubectl} --kubeconfig=/etc/rancher/k3s/k3s.yaml "$@"\n`;
    cp3.write('/usr/local/bin/k3s', k3s, 0o755);
    const { exitCode, output, changed } = await controller.play(
      'site',
      reading(),
      '--check',
      '--diff',
    );
    assert.equal(exitCode, 0, output);
    assert.deepEqual(changed, { cp1: 1, cp2: 1, cp3: 1 }, output);
    for (const path of [manifest, ...['rke2', 'k3s'].map(dropInOf)])
      assert.ok(output.includes(`+++ ${path}`), path);
    assert.equal(cp1.read(manifest), vector('kubeadm/manifest.yaml').trim());
  });

  test('an API server that does not come back stops the play at its host', async () => {
    // As a roll-out leaves it that was stopped right after its last promotion: no rotation.
    const created = '/var/lib/kleidi/ceremony/created.json';
    cp1.sh(`install -d -m 0700 /var/lib/kleidi/ceremony && touch ${created}`);
    const { exitCode, output } = await controller.play('site', { ...reading(), kleidi_retries: 2 });
    assert.notEqual(exitCode, 0);
    assert.notEqual(cp1.try(`test -e ${created}`).exitCode, 0);
    const said = output.replace(/\s+/g, ' ');
    assert.match(said, /The API server of cp1 did not come to this state in 2 tries/);
    assert.match(said, /cannot be asked: .*(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH)/);
    assert.match(said, /No API server after this one was changed/);
    assert.match(cp1.read(manifest), /--encryption-provider-config=/);
    assert.equal(cp2.read('/etc/rancher/rke2/config.yaml'), vector('rke2/config.yaml').trim());
    assert.notEqual(cp2.try(`test -e ${dropInOf('rke2')}`).exitCode, 0);
  });
});

function dropInOf(kind: string): string {
  return `/etc/rancher/${kind}/config.yaml.d/50-kleidi.yaml`;
}

const startOf = (host: SystemHost): string =>
  host.sh('systemctl show -P MainPID -P ActiveEnterTimestampMonotonic kleidi.service');

function metricsOf(host: SystemHost, address = '127.0.0.1:9464'): string {
  const code = `console.log(await (await fetch('http://${address}/metrics')).text())`;
  return host.sh(`/usr/lib/kleidi/bin/node --input-type=module -e "${code}"`);
}
