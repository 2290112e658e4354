// What happens to a ring in use, by the playbooks of the collection and with real API servers:
// backups, a fourth master, a lost token, and all masters lost. What is done offline is done
// here in a folder that the controller does not have, by the command that the play prints.
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
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
import { hostAddresses } from '../support/clusternetwork.ts';
import { certificateFolder } from '../support/clusterunits.ts';
import { ControlPlane } from '../support/controlplane.ts';
import { temporaryFolder } from '../support/folder.ts';
import { isLong } from '../support/long.ts';
import { rewrapPrinted } from '../support/rewrapprinted.ts';

const text = 'in-a-secret-0123456789';
const kubectl =
  'kubectl --kubeconfig=/etc/kubernetes/admin.conf --server=https://127.0.0.1:6443 --request-timeout=60s';
const snapshot = `env ETCDCTL_API=3 etcdctl --endpoints https://${hostAddresses[0]}:2379 --cacert ${certificateFolder}/ca.pem --cert ${certificateFolder}/admin.pem --key ${certificateFolder}/admin.key snapshot save`;
const leftovers = 'ls -d /var/lib/kleidi/ceremony /tmp/tmp.* 2>/dev/null || :';

await onCluster(async (binaries) => {
  const plane = await ControlPlane.boot(binaries);
  const cp4 = await plane.addHost(binaries);
  const [cp1, cp2, cp3] = [plane.host(0), plane.host(1), plane.host(2)];
  const hosts = [cp1, cp2, cp3, cp4];
  const controller = new Controller(new Map(hosts.map((host, i) => [`cp${i + 1}`, host])));
  const offline = temporaryFolder();
  const recovery = await makeRecovery(offline);
  const pub = controller.write('recovery.pub', '');
  cpSync(recovery.pub, pub);
  const settings = {
    ...{ kleidi_ring: 'prod', kleidi_delay: 4, kleidi_retries: 100 },
    ...rolloutSettings({ ...recovery, pub }),
  };
  const ceremony = join(controller.folder, 'ceremony');
  const backups = join(controller.folder, 'backups');
  const first = { ...settings, kleidi_ceremony_folder: ceremony };
  const second = { ...settings, kleidi_bundle: join(ceremony, 'masters.bundle') };
  const backup = { ...settings, kleidi_backup_folder: backups };

  const rewrapOffline = (played: Played, bundle = 'masters.bundle'): Promise<string> =>
    rewrapPrinted(played.output, { ceremony, offline, bundle });

  function requireOneRing(): void {
    assert.equal(new Set(hosts.map((host) => host.sh('kleidi ring digest --live'))).size, 1);
    for (const host of hosts) {
      assert.match(host.sh('kleidi status'), /^serving/);
      assert.equal(host.sh(leftovers), '');
      const read = `${kubectl} get secret before -o jsonpath='{.data.text}' | base64 -d`;
      assert.equal(host.sh(read), text);
    }
  }

  async function refused(play: string, variables: object, reason: RegExp, limit?: string) {
    const more = limit === undefined ? [] : ['--limit', limit];
    const { exitCode, output } = await controller.play(play, { ...variables }, ...more);
    assert.notEqual(exitCode, 0);
    assert.match(output.replace(/\\n|\s+/g, ' '), reason);
  }

  test('three masters that write sealed Secrets', async () => {
    await plane.api.createSecret(0, 'before', text);
    controller.notYet.add('cp4');
    await controller.complete('site', settings);
    controller.notYet.clear();
    assert.ok(plane.isSealed(0, 'before'));
  });

  test('a backup is kept once for each ring, for its owner alone, and nothing stays on a host', async () => {
    const three = ['--limit', 'cp1,cp2,cp3'];
    const { changed, output } = await controller.complete('backup', backup, ...three);
    assert.ok(Object.values(changed).every((count) => count > 0));
    const digest = cp1.sh('kleidi ring digest');
    const names = ['cp1', 'cp2', 'cp3'].map((name) => `prod-1-${name}-${digest.slice(7, 15)}.json`);
    assert.deepEqual(readdirSync(backups).sort(), names);
    for (const name of names) assert.equal(statSync(join(backups, name)).mode & 0o777, 0o600);
    assert.ok(output.includes(`"${digest}"`));
    assert.deepEqual(filesWith(backups, digest), []);
    assert.equal(cp1.sh(leftovers), '');
    const again = await controller.complete('backup', backup, ...three);
    assert.deepEqual(again.changed, { cp1: 0, cp2: 0, cp3: 0 });
    const apart = { ...backup, kleidi_backup_digest_folder: join(controller.folder, 'digests') };
    await controller.complete('backup', apart, '--limit', 'cp1');
    assert.deepEqual(readdirSync(apart.kleidi_backup_digest_folder), [`${names[0]}.digest`]);
    await refused(
      'backup',
      { ...backup, kleidi_backup_digest_folder: backups },
      /or another folder/,
      'cp1',
    );
  });

  test('a damaged backup is made anew; one that does not bring every KEK back is not kept', async () => {
    const [name = ''] = readdirSync(backups);
    writeFileSync(join(backups, name), '{}');
    assert.ok(
      ((await controller.complete('backup', backup, '--limit', 'cp1')).changed['cp1'] ?? 0) > 0,
    );
    assert.ok(statSync(join(backups, name)).size > 1000);
    const other = join(controller.folder, 'others');
    cp2.sh('mv /var/lib/kleidi/bundles /var/lib/kleidi/away');
    const variables = { ...backup, kleidi_backup_folder: other };
    await refused('backup', variables, /no bundle of it is here.*doctor --only recovery/, 'cp2');
    cp2.sh(
      'rmdir /var/lib/kleidi/bundles 2>/dev/null; mv /var/lib/kleidi/away /var/lib/kleidi/bundles',
    );
    assert.deepEqual(readdirSync(other), []);
  });

  test('a fourth master: the first run ends with the command for the offline machine', async () => {
    cp4.sh('systemctl start kube-apiserver');
    await cp4.until(
      `${kubectl} create secret generic in-clear --from-literal=text=${text}`,
      120_000,
    );
    assert.ok(!plane.isSealed(0, 'in-clear'));
    await refused('add_master', first, /Name the hosts that are to be changed with --limit/);
    await refused('add_master', settings, /set kleidi_ceremony_folder/, 'cp4');
    await rewrapOffline(await controller.complete('add_master', first, '--limit', 'cp4'));
    assert.notEqual(cp4.try('kleidi status').exitCode, 0);
  });

  test('the second run makes it like the others, and seals what it has written in clear', async () => {
    await controller.complete('add_master', second, '--limit', 'cp4');
    requireOneRing();
    cp4.sh(`${kubectl} create secret generic by-cp4 --from-literal=text=${text}`);
    for (const name of ['by-cp4', 'in-clear']) assert.ok(plane.isSealed(0, name), name);
    const { changed } = await controller.complete('add_master', second, '--limit', 'cp4');
    assert.deepEqual(changed, { cp4: 0 });
  });

  test('a lost token: the daemon serves from memory until the KEKs are there', async () => {
    const { changed } = await controller.complete('recover', first, '--limit', 'cp2');
    assert.deepEqual(changed, { cp2: 0 }, 'a master that has lost nothing is left alone');
    cp2.sh('rm -r /var/lib/kleidi/tokens/*');
    const asked = await controller.complete('recover', first, '--limit', 'cp2');
    assert.equal(await plane.api.secret(1, 'before'), text);
    // The bundle that is there still is that of the fourth master.
    await refused('recover', second, /kleidi: hint: .* run this play without kleidi_bundle/, 'cp2');
    await rewrapOffline(asked);
    await controller.complete('recover', second, '--limit', 'cp2');
    requireOneRing();
    const again = await controller.complete('recover', second, '--limit', 'cp2');
    assert.deepEqual(again.changed, { cp2: 0 });
  });
  const kept = join(controller.folder, 'kept');
  const newest = join(kept, 'newest.json');

  test('all masters lost is refused while one has its KEKs, and with what is not of paper', async () => {
    cp1.write('/usr/local/bin/etcdctl', readFileSync('/usr/bin/etcdctl'), 0o755);
    const one = { ...settings, kleidi_backup_folder: kept };
    await controller.complete('backup', one, '--limit', 'cp1');
    const [name = ''] = readdirSync(kept);
    renameSync(join(kept, name), newest);
    for (const host of hosts.slice(1)) host.sh('rm -r /var/lib/kleidi/tokens/*');
    await refused('recover_all', lost(), /cp1 has every KEK .*kleidi.recover with --limit/);
    await refused('recover_all', lost(), /leaves out cp1, cp3/, 'cp2,cp4');
    const otherDigest = { ...lost(), kleidi_backup_digest: `sha256:${'0'.repeat(64)}` };
    await refused('recover_all', otherDigest, /Compare with the paper/);
    const other = { ...lost(), kleidi_ring: 'other' };
    await refused('recover_all', other, /is of ring 'prod', the inventory says 'other'/);
  });

  /** Of the first run; the digest is of before the hosts were lost. */
  const digest = { ofPaper: '' };
  function lost(): Variables {
    digest.ofPaper ||= cp1.sh('kleidi ring digest');
    const named = { kleidi_backup_file: newest, kleidi_backup_digest: digest.ofPaper };
    return { ...first, ...named, kleidi_snapshot_command: snapshot };
  }

  test('all masters lost: two of them bare, two without their tokens', async () => {
    cp1.sh('rm -r /var/lib/kleidi/tokens/*');
    for (const host of [cp3, cp4]) {
      host.sh(`systemctl stop kleidi.socket kleidi
        KLEIDI_FORCE_REMOVE=yes KLEIDI_PURGE_KEYS=yes dpkg --purge kleidi
        rm -rf /var/lib/kleidi* /etc/kleidi`);
    }
    const asked = await controller.complete('recover_all', lost());
    const shown = await rewrapOffline(asked, 'all.bundle');
    const [, made = ''] = /kleidi join \S+ --expect (\S+)/.exec(shown) ?? [];
    const back = {
      ...lost(),
      kleidi_bundle: join(ceremony, 'all.bundle'),
      kleidi_bundle_digest: made,
    };
    await controller.complete('recover_all', back);
    requireOneRing();
    assert.equal(cp1.sh('kleidi ring digest --live'), made);
    for (const [index, host] of hosts.entries()) {
      host.sh(`${kubectl} create secret generic again-${index} --from-literal=text=${text}`);
      assert.ok(plane.storedSecret(0, `again-${index}`).includes('k1.prod.2.'));
    }
    if (!isLong) return;
    const { changed } = await controller.complete('recover_all', back);
    assert.deepEqual(changed, { cp1: 0, cp2: 0, cp3: 0, cp4: 0 });
  });
});
