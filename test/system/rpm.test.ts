// The rpm on a booted host, its scriptlets run. The host is a Debian with rpm:
// no Fedora, but another order of scriptlets and no debhelper. A planted preset
// disables every unit, as RHEL's does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareHost, clientOf, forgetCallers, packageFile } from '../support/installed.ts';
import { onHosts } from '../support/systemhost.ts';

const seed = Buffer.alloc(32, 5);

await onHosts(async () => {
  const host = await bareHost();
  const rpm = packageFile('rpm');
  const newer = packageFile('rpm', '99.1.0');
  let sealed: { ciphertext: Buffer; keyId: string } = { ciphertext: Buffer.alloc(0), keyId: '' };

  async function opens(): Promise<void> {
    const client = clientOf(host);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
    client.close();
  }

  test('installs, provisions, enables and starts under a preset that disables all', async () => {
    host.write('/usr/lib/systemd/system-preset/99-default-disable.preset', 'disable *\n');
    host.sh(`rpm -i --nodeps ${rpm}`);
    assert.equal(host.sh('systemctl is-enabled kleidi.socket kleidi.service'), 'enabled\nenabled');
    assert.equal(host.sh('systemctl is-active kleidi.socket kleidi.service'), 'active\nactive');
    const client = clientOf(host);
    sealed = await client.encrypt(seed);
    client.close();
  });

  test('after a reboot it is there again', async () => {
    await host.reboot();
    await host.until('kleidi status');
    await opens();
  });

  test('an upgrade starts the new program and keeps everything', async () => {
    const before = host
      .sh(
        'systemctl show -p MainPID --value kleidi; cat /var/lib/kleidi/ring.json; stat -c %i /run/kleidi/kms.sock',
      )
      .split('\n');
    host.sh(`rpm -U --nodeps ${newer}`);
    await host.until('kleidi status');
    const after = host
      .sh(
        'systemctl show -p MainPID --value kleidi; cat /var/lib/kleidi/ring.json; stat -c %i /run/kleidi/kms.sock',
      )
      .split('\n');
    assert.notEqual(after[0], before[0]);
    assert.deepEqual(after.slice(1), before.slice(1));
    assert.match(host.sh('kleidi version'), /99\.1\.0/);
    await opens();
  });

  test('a downgrade too', async () => {
    host.sh(`rpm -U --oldpackage --nodeps ${rpm}`);
    await host.until('kleidi status');
    assert.doesNotMatch(host.sh('kleidi version'), /99\.1\.0/);
    await opens();
  });

  test('what is installed is what was packed', () => {
    const changed = host
      .try('rpm -V --nodeps kleidi')
      .stdout.split('\n')
      .filter((line) => line !== '' && !/ c \/etc\/kleidi\//.test(line));
    assert.deepEqual(changed, []);
  });

  test('is not erased while an API server of this host uses it', () => {
    host.write('/etc/kubernetes/manifests/kube-apiserver.yaml', apiserver);
    host.write(
      '/etc/kubernetes/kleidi/encryption-config.yaml',
      'endpoint: unix:///run/kleidi/kms.sock\n',
    );
    const refused = host.try('rpm -e kleidi');
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stderr, /kube-apiserver/);
    assert.match(refused.stderr, /KLEIDI_FORCE_REMOVE=yes/);
    assert.equal(host.sh('systemctl is-active kleidi.service'), 'active');
    host.sh('rm -r /etc/kubernetes');
  });

  test('an erase stops it and keeps the token', async () => {
    const refused = host.try('rpm -e kleidi');
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stderr, /the running daemon \(.*systemctl restart kleidi/s);
    await forgetCallers(host);
    host.sh('rpm -e kleidi');
    assert.equal(host.try('systemctl is-active kleidi.socket').exitCode === 0, false);
    assert.equal(host.try('test -e /run/kleidi/kms.sock').exitCode, 1);
    assert.match(host.sh('cat /var/lib/kleidi/ring.json'), /"write"/);
    assert.notEqual(host.sh('ls /var/lib/kleidi/tokens'), '');
  });

  test('installed again, it goes on where it was', async () => {
    host.sh(`rpm -i --nodeps ${rpm}`);
    await host.until('kleidi status');
    await opens();
  });
});

const apiserver = `apiVersion: v1
kind: Pod
metadata: { name: kube-apiserver, namespace: kube-system }
spec:
  containers:
  - command:
    - kube-apiserver
    - --encryption-provider-config=/etc/kubernetes/kleidi/encryption-config.yaml
    name: kube-apiserver
`;
