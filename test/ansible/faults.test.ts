// A fault on the second of three masters: the play stops there and says what to do, the
// third is as it was, and the same command goes on once that is fixed. One way from bare
// hosts to a ring in use, with a stop at each step of it.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Controller, type Played, rolloutSettings, type Variables } from '../support/ansible.ts';
import { makeRecovery } from '../support/ceremony.ts';
import { bareHost } from '../support/installed.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';
import { plantKey, type TokenPlace, tokenObjects } from '../support/tokenobjects.ts';

await onHosts(async () => {
  const [cp1, cp2, cp3] = [await bareHost(), await bareHost(), await bareHost()];
  const hosts = [cp1, cp2, cp3];
  const controller = new Controller(
    new Map([
      ['cp1', cp1],
      ['cp2', cp2],
      ['cp3', cp3],
    ]),
  );
  const recovery = await makeRecovery(controller.folder);
  const settings = {
    kleidi_ring: 'prod',
    ...rolloutSettings(recovery),
    kleidi_phase: 'none',
    kleidi_retries: 3,
    kleidi_delay: 2,
  };
  const generations = (): string[] =>
    hosts.map((host) =>
      host.sh(
        'kleidi ring show --json | grep -o \'"generation": *[0-9]*\' | grep -o "[0-9]*$" || :',
      ),
    );

  async function stops(change: Variables, cause: RegExp, step: RegExp): Promise<Played> {
    const played = await controller.play('site', { ...settings, ...change });
    const output = played.output.replace(/\\n|\s+/g, ' ');
    assert.notEqual(played.exitCode, 0);
    assert.match(output, cause);
    assert.match(output, step);
    return played;
  }

  async function completes(change: Variables = {}): Promise<Played> {
    const played = await controller.complete('site', { ...settings, ...change });
    for (const host of hosts) assert.match(host.sh('kleidi status'), /^serving/);
    assert.equal(new Set(hosts.map((host) => host.sh('kleidi ring digest --live'))).size, 1);
    return played;
  }

  test('a full disk: the third master has not even the package', async () => {
    cp2.sh(
      'mkdir -p /var/lib/kleidi && mount -t tmpfs -o size=64k,mode=0755 tmpfs /var/lib/kleidi',
    );
    cp2.sh('head -c 60000 /dev/zero > /var/lib/kleidi/fill');
    await stops({}, /ENOSPC|no space|full|cannot be (made|written)/i, /hint: .*/);
    assert.notEqual(cp3.try('test -e /usr/bin/kleidi || test -e /etc/kleidi').exitCode, 0);
    cp2.sh('rm /var/lib/kleidi/fill; mount -o remount,size=64m /var/lib/kleidi');
  });

  test('a recovery key that was changed on its way is refused where the KEK is made', async () => {
    const file = JSON.parse(readFileSync(recovery.pub, 'utf8')) as Record<string, unknown>;
    const other = await makeRecovery(controller.folder, 'other');
    const theirs = JSON.parse(readFileSync(other.pub, 'utf8')) as Record<string, unknown>;
    const forged = { ...theirs, sha256: file['sha256'] };
    const pub = controller.write('forged.pub', JSON.stringify(forged, null, 2));
    await stops(
      { kleidi_recovery_public_key: pub },
      /its sha256 is not the one of its keys/,
      /hint: .*/,
    );
    assert.deepEqual(new Set(generations()).size, 1);
    for (const host of hosts)
      assert.equal(host.sh('kleidi ring show --json | grep -c fp || :'), '0');
  });

  test("a foreign key with the label of kleidi's own is in nobody's way", async () => {
    await plantKey(tokenOf(cp2), 'kleidi prod');
    cp2.sh('systemd-tmpfiles --create kleidi.conf');
    cp2.sh('systemctl mask --now --runtime kleidi.socket kleidi.service');
    await stops({}, /cp2: .*kleidi.socket is masked/, /systemctl unmask.*kleidi doctor/);
  });

  test('a daemon that cannot be started: the third master goes no further', async () => {
    assert.deepEqual(generations(), ['1', '1', '0']);
    cp2.sh('systemctl unmask --runtime kleidi.socket kleidi.service');
    await completes();
    const label = Buffer.from('kleidi prod').toString('hex');
    const objects = (await tokenObjects(tokenOf(cp2))).filter((each) => each.label === label);
    assert.ok(objects.some(({ extractable }) => extractable === '01'));
  });

  function tokenOf(host: SystemHost): TokenPlace {
    const folder = join(controller.folder, host.name);
    mkdirSync(join(folder, 'run'), { recursive: true });
    const pin = host.sh('systemd-creds decrypt --name=pin /etc/kleidi/credentials/pin.cred -');
    const tokens = host.outside('/var/lib/kleidi/tokens');
    const softhsmConf = controller.write(
      `${host.name}/softhsm2.conf`,
      `directories.tokendir = ${tokens}\n`,
    );
    return { folder, pin, softhsmConf };
  }

  test('a module that is not there, on a ring in use: the third master keeps its settings', async () => {
    const right = { pkcs11: { module: moduleOf(cp1) } };
    const since = cp3.sh('systemctl show -p ActiveEnterTimestampMonotonic kleidi');
    const before = cp3.sh('cat /etc/kleidi/kleidi.yaml || :');
    controller.ofHost.set('cp2', { kleidi_config: { pkcs11: { module: '/usr/lib/no-such.so' } } });
    await stops({ kleidi_config: right }, /no-such.so/, /hint: .*/);
    assert.equal(cp3.sh('systemctl show -p ActiveEnterTimestampMonotonic kleidi'), since);
    assert.equal(cp3.sh('cat /etc/kleidi/kleidi.yaml || :'), before);
    controller.ofHost.clear();
    await completes({ kleidi_config: right });
  });

  test('what is as wanted is left alone; what differs on a host is found, and made up for', async () => {
    const config = { kleidi_config: { pkcs11: { module: moduleOf(cp1) } } };
    const again = await completes(config);
    assert.deepEqual(again.changed, { cp1: 0, cp2: 0, cp3: 0 }, again.output);
    assert.doesNotMatch(again.output, /Install the deb/);

    cp1.sh('chmod 0600 /var/cache/kleidi/*.deb');
    cp2.sh('systemctl disable kleidi.service');
    cp3.sh('echo "# by hand" >> /etc/kleidi/kleidi.yaml');
    const { changed } = await completes(config);
    assert.deepEqual(Object.values(changed).map(Math.sign), [1, 1, 1]);
    assert.equal(cp1.sh('stat -c %a /var/cache/kleidi/*.deb'), '644');
    assert.equal(cp2.sh('systemctl is-enabled kleidi.service'), 'enabled');
    assert.doesNotMatch(cp3.read('/etc/kleidi/kleidi.yaml'), /by hand/);

    const pin = '/etc/kleidi/credentials/pin.cred';
    cp2.sh(`mv ${pin} ${pin}.away`);
    const stopped = await stops(config, /cp2.*pin.cred cannot be opened/, /hint: .*the way back/);
    cp2.sh(`mv ${pin}.away ${pin}`);
    assert.deepEqual(stopped.changed, { cp1: 0, cp2: 0, cp3: 0 }, stopped.output);
  });

  test('to what PINs are sealed: a host without a TPM says so and serves on, and is as wanted after', async () => {
    const config = { kleidi_config: { pkcs11: { module: moduleOf(cp1) } } };
    controller.ofHost.set('cp1', { kleidi_pin_binding: 'host+tpm2' });
    await stops(config, /cannot seal the credential 'pin' to the TPM/, /hint: .*pinBinding: host/);
    cp1.sh('kleidi status');
    controller.ofHost.clear();
    const { changed } = await completes({ ...config, kleidi_pin_binding: 'host' });
    assert.deepEqual(Object.values(changed).map(Math.sign), [1, 1, 1]);
    for (const host of [cp1, cp2, cp3]) {
      assert.match(host.read('/etc/kleidi/kleidi.yaml'), /pinBinding: host/);
      host.sh('kleidi pin reseal --check');
    }
  });
});

function moduleOf(host: SystemHost): string {
  const printed = JSON.parse(host.sh('kleidi config print --json')) as {
    pkcs11: { module: string };
  };
  return printed.pkcs11.module;
}
