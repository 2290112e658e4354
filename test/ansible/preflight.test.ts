// What is not fit is said before anything is changed on any host.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Controller, rolloutSettings, type Variables } from '../support/ansible.ts';
import { makeRecovery } from '../support/ceremony.ts';
import { bareHost } from '../support/installed.ts';
import { onHosts } from '../support/systemhost.ts';

await onHosts(async () => {
  const [cp1, cp2] = [await bareHost(), await bareHost()];
  const hosts = [cp1, cp2];
  const controller = new Controller(
    new Map([
      ['cp1', cp1],
      ['cp2', cp2],
    ]),
  );
  const recovery = await makeRecovery(controller.folder);
  const other = await makeRecovery(controller.folder, 'other');
  const settings = {
    kleidi_ring: 'prod',
    ...rolloutSettings(recovery),
    kleidi_phase: 'none',
  };

  /** All that a play could have left behind, and of the recovery key nothing anywhere. */
  const traces =
    'find /etc/kleidi /var/lib/kleidi /var/cache/kleidi /usr/bin/kleidi /usr/lib/kleidi -printf "%p %s %T@\\n" 2>/dev/null | sort';

  async function refused(change: Variables, reason: RegExp, ...more: string[]): Promise<string> {
    const before = hosts.map((host) => host.sh(traces));
    const played = await controller.play('site', { ...settings, ...change }, ...more);
    assert.notEqual(played.exitCode, 0);
    assert.match(played.output.replace(/\s+/g, ' '), reason);
    assert.ok(Object.values(played.changed).every((count) => count === 0));
    assert.deepEqual(
      hosts.map((host) => host.sh(traces)),
      before,
    );
    return played.output;
  }

  test('what the inventory gives is looked at first', async () => {
    await refused(
      { kleidi_phase: 'only' },
      /kleidi_phase is 'only'. Set it to none, read or write/,
    );
    await refused(
      { kleidi_package: '/no/kleidi_0.1.0_amd64.deb' },
      /The controller has no file \/no\/kleidi_0.1.0_amd64.deb. Set kleidi_package for cp1/,
    );
    await refused({}, /The play leaves out cp2: .* without --limit/, '--limit', 'cp1');
  });

  test('the private recovery key goes to no host and into no output', async () => {
    const misnamed = `${controller.folder}/paper.pub`;
    copyFileSync(recovery.key, misnamed);
    const said = await refused(
      { kleidi_recovery_public_key: misnamed },
      /paper.pub is the private recovery key. .* erase it here/,
      '-vvv',
    );
    const { rsaPrivateKey } = JSON.parse(readFileSync(misnamed, 'utf8')) as {
      rsaPrivateKey: string;
    };
    const secrets = rsaPrivateKey.split('\n').filter((line) => line.length === 64);
    assert.ok(secrets.length > 10);
    assert.ok(!secrets.some((line) => said.includes(line)));
  });

  test('a recovery key that is not named whole, or not the one on paper, is refused', async () => {
    await refused(
      { kleidi_recovery_public_key: other.pub },
      new RegExp(`other.pub has the fingerprint ${other.sha256}, kleidi_recovery_sha256 is`),
    );
    await refused(
      { kleidi_recovery_public_key: '' },
      /Make the recovery key on a machine that is offline/,
    );
    await refused({ kleidi_recovery_sha256: 'abc' }, /to the 64 digits that it has shown/);
    const noKey = controller.write('note.pub', '{"sha256": "not a key"}\n');
    await refused({ kleidi_recovery_public_key: noKey }, /has the fingerprint of no recovery key/);
    await refused(
      { kleidi_recovery_public_key: '/no/recovery.pub' },
      /The controller has no file \/no\/recovery.pub/,
    );
  });

  test('a package for other hosts is refused, of one host in the group too', async () => {
    for (const name of ['kleidi_0.1.0_arm64.deb', 'kleidi-0.1.0-1.x86_64.rpm']) {
      controller.ofHost.set('cp2', { kleidi_package: controller.write(name, 'none') });
      await refused({}, new RegExp(`cp2 has x86_64 and apt, and ${name} is a package for another`));
    }
    controller.ofHost.clear();
  });

  test('a disk without room is named', async () => {
    cp2.sh('mount -t tmpfs -o size=8m tmpfs /var/cache');
    try {
      await refused({}, /cp2 has 8 MiB left in \/var\/cache, kleidi wants 256. Make room there/);
    } finally {
      cp2.sh('umount /var/cache');
    }
  });

  test('a host of another cluster is known by the ring of a kleidi that was removed', async () => {
    cp2.sh('dpkg -i /opt/packages/kleidi_*.deb && kleidi ring show');
    await refused({}, /cp2 has ring 'kleidi', the inventory says 'prod'/);
    await refused({ kleidi_ring: 'kleidi' }, /cp2 has a KEK, and not of the ring of cp1/);
    cp2.sh('dpkg --purge kleidi && test ! -e /usr/bin/kleidi');
    await refused({}, /cp2 has ring 'kleidi', the inventory says 'prod'/);
    await refused({ kleidi_ring: 'kleidi' }, /cp2 has a KEK, and not of the ring of cp1/);
  });
});
