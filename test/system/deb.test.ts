// The deb's life on a host after its installation: upgrade, removal, purge, and
// what an operator may ask for by a file or a variable.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareHost, clientOf, forgetCallers, packageFile } from '../support/installed.ts';
import { passphrase } from '../support/recoveryset.ts';
import { onHosts } from '../support/systemhost.ts';

const seed = Buffer.alloc(32, 6);
const apiserver = `[Service]
ExecStart=/usr/local/bin/kube-apiserver --encryption-provider-config=/etc/kubernetes/kleidi/encryption-config.yaml
`;

await onHosts(async () => {
  const host = await bareHost();
  const deb = packageFile('deb');
  let sealed: { ciphertext: Buffer; keyId: string } = { ciphertext: Buffer.alloc(0), keyId: '' };

  test('with FIRST_KEK=no in install.conf it makes a token and leaves the KEK to a roll-out', () => {
    host.write('/etc/kleidi/install.conf', 'FIRST_KEK=no\n');
    host.sh(`dpkg -i ${deb}`);
    assert.match(host.sh('kleidi ring show --json'), /"generation": *0/);
    assert.match(
      host.try('systemctl status kleidi').stdout,
      /Status: "Not serving: .*no write KEK/,
    );
  });

  test('the first KEK of one host then has a recovery key, as the runbook says', () => {
    const { sha256 } = JSON.parse(
      host.sh('kleidi recovery create --out /root/recovery --passphrase-fd 0 --json', {
        input: `${passphrase}\n`,
      }),
    ) as { sha256: string };
    const recovery = `--recovery /root/recovery.pub=${sha256}`;
    host.sh(`kleidi provision ${recovery}`);
    const { fp } = JSON.parse(host.sh(`kleidi key create ${recovery} --json`)) as { fp: string };
    host.sh(`kleidi key promote ${fp}`);
    assert.match(host.sh('kleidi status'), /^serving/);
    assert.match(host.sh('kleidi ring show --json'), new RegExp(`"recovery": *"${sha256}"`));
    host.sh('KLEIDI_PURGE_KEYS=yes dpkg --purge kleidi');
    assert.equal(host.try('test -e /var/lib/kleidi').exitCode, 1);
    assert.equal(host.try('test -e /etc/kleidi').exitCode, 1);
  });

  test('installs again on what a purge leaves', async () => {
    host.sh(`dpkg -i ${deb}`);
    const client = clientOf(host);
    sealed = await client.encrypt(seed);
    client.close();
    assert.match(
      host.sh('cat /etc/kubernetes/kleidi/encryption-config.yaml'),
      /unix:\/\/\/run\/kleidi\/kms\.sock/,
    );
    assert.equal(
      host.sh('stat -c "%U %a" /etc/kubernetes/kleidi/encryption-config.yaml'),
      'root 600',
    );
  });

  test('reinstalling changes no key, no PIN and no configuration', () => {
    const state =
      'cat /var/lib/kleidi/ring.json; sha256sum /etc/kleidi/credentials/* /etc/kleidi/*.yaml /etc/kubernetes/kleidi/*';
    host.sh('echo "# mine" >> /etc/kleidi/kleidi.yaml');
    const before = host.sh(state);
    host.sh(`DEBIAN_FRONTEND=noninteractive dpkg -i ${deb} </dev/null`);
    assert.equal(host.sh(state), before);
  });

  test('is not removed while an API server of this host uses it', () => {
    host.write('/etc/systemd/system/kube-apiserver.service', apiserver);
    const refused = host.try('dpkg -r kleidi');
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stderr, /kube-apiserver\.service/);
    assert.match(refused.stderr, /kleidi apiserver disable/);
    assert.match(refused.stderr, /KLEIDI_FORCE_REMOVE=yes/);
    assert.equal(host.sh('systemctl is-active kleidi.service kleidi.socket'), 'active\nactive');
    assert.equal(host.sh('dpkg-query -W kleidi').startsWith('kleidi'), true);
  });

  test('unless that is forced; the token stays', () => {
    host.sh('KLEIDI_FORCE_REMOVE=yes dpkg -r kleidi');
    assert.equal(host.try('systemctl is-active kleidi.socket').stdout.trim(), 'inactive');
    assert.match(host.sh('cat /var/lib/kleidi/ring.json'), /"write"/);
    host.sh('rm /etc/systemd/system/kube-apiserver.service');
  });

  test('a purge keeps a token that holds a KEK, and says so', () => {
    const purged = host.try('dpkg --purge kleidi');
    assert.equal(purged.exitCode, 0, purged.stderr);
    assert.match(purged.stdout + purged.stderr, /KLEIDI_PURGE_KEYS=yes/);
    assert.notEqual(host.sh('ls /var/lib/kleidi/tokens; ls /etc/kleidi/credentials'), '');
  });

  test('installed again after that, it opens the old data', async () => {
    host.sh(`dpkg -i ${deb}`);
    await host.until('kleidi status');
    const client = clientOf(host);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
    client.close();
  });

  test('is not removed while clients call that no file tells of, nor an hour later', async () => {
    const client = clientOf(host);
    await client.status();
    const connected = host.try('dpkg -r kleidi');
    assert.notEqual(connected.exitCode, 0);
    assert.match(connected.stderr, /the running daemon \(clients connected that call it: 1\)/);
    client.close();
    await host.until(`kleidi status --json | grep '"clients":0'`);
    const called = host.try('dpkg -r kleidi');
    assert.notEqual(called.exitCode, 0);
    assert.match(called.stderr, /the running daemon \(a client called it \d minutes ago\)/);
    assert.match(called.stderr, /systemctl restart kleidi.*KLEIDI_FORCE_REMOVE=yes/);
    assert.equal(host.sh('systemctl is-active kleidi.service kleidi.socket'), 'active\nactive');
  });

  test('a client that is there calls again after the restart that the hint names', async () => {
    const client = clientOf(host);
    await forgetCallers(host);
    await client.status();
    assert.notEqual(host.try('dpkg -r kleidi').exitCode, 0);
    client.close();
  });

  test('a daemon that hangs does not keep the package: the files decide then', async () => {
    const client = clientOf(host);
    await client.status();
    client.close();
    host.sh('systemctl kill -s STOP --kill-who=main kleidi.service');
    host.write('/etc/systemd/system/kube-apiserver.service', apiserver);
    const refused = host.try('dpkg -r kleidi');
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stderr, /kube-apiserver\.service/);
    assert.doesNotMatch(refused.stderr, /the running daemon/);
    host.sh('rm /etc/systemd/system/kube-apiserver.service');
    host.sh('dpkg -r kleidi');
    assert.equal(host.try('systemctl is-active kleidi.service').stdout.trim(), 'inactive');
    host.sh(`dpkg -i ${deb}`);
    await host.until('kleidi status');
  });

  test('it goes once nobody calls any more', async () => {
    const client = clientOf(host);
    await client.status();
    client.close();
    assert.notEqual(host.try('dpkg -r kleidi').exitCode, 0);
    await forgetCallers(host);
    host.sh('dpkg -r kleidi');
    assert.equal(host.try('systemctl is-active kleidi.socket').stdout.trim(), 'inactive');
  });
});
