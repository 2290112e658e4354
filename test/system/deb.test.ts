// The deb's life on a host after its installation: upgrade, removal, purge, and
// what an operator may ask for by a file or a variable.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareHost, clientOf, forgetCallers, packageFile } from '../support/installed.ts';
import { passphrase } from '../support/recoveryset.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';

const seed = Buffer.alloc(32, 6);
const apiserver = `[Service]
ExecStart=/usr/local/bin/kube-apiserver --encryption-provider-config=/etc/kubernetes/kleidi/encryption-config.yaml
`;

function requireOffline(host: SystemHost): void {
  for (const unit of ['kleidi.socket', 'kleidi.service', 'kleidi-first-boot.service']) {
    assert.equal(host.try(`systemctl is-enabled ${unit}`).stdout.trim(), 'disabled', unit);
    assert.equal(host.try(`systemctl is-active ${unit}`).stdout.trim(), 'inactive', unit);
  }
  assert.equal(
    host.sh('ls -A /var/lib/kleidi/tokens /var/lib/kleidi/bundles'),
    host.sh('echo /var/lib/kleidi/bundles:; echo; echo /var/lib/kleidi/tokens:'),
  );
  const made =
    '/var/lib/kleidi/ring.json /etc/kleidi/credentials/pin.cred /etc/kubernetes /var/lib/kleidi.unfinished';
  for (const path of made.split(' ')) assert.equal(host.try(`test -e ${path}`).exitCode, 1, path);
}

await onHosts(async () => {
  const host = await bareHost();
  const deb = packageFile('deb');
  let sealed: { ciphertext: Buffer; keyId: string } = { ciphertext: Buffer.alloc(0), keyId: '' };

  test('ROLE=offline: nothing is made or started, also by an upgrade and at a boot', async () => {
    host.write('/etc/kleidi/install.conf', 'ROLE=offline\n');
    const installed = host.try(`dpkg -i ${deb}`);
    assert.equal(installed.exitCode, 0, installed.stderr);
    assert.match(installed.stderr, /\n {2}kleidi recovery create --out recovery\n$/);
    requireOffline(host);
    // To the package's scripts the same version again is an upgrade.
    assert.doesNotMatch(host.try(`dpkg -i ${deb}`).stderr, /next/);
    await host.reboot();
    requireOffline(host);
    const { exitCode, stdout } = host.try('kleidi doctor');
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /an offline machine/);
    assert.doesNotMatch(stdout, /FAIL/);
  });

  let recovery = '';
  test('there the recovery key is made', () => {
    const { sha256 } = JSON.parse(
      host.sh('kleidi recovery create --out /root/recovery --passphrase-fd 0 --json', {
        input: `${passphrase}\n`,
      }),
    ) as { sha256: string };
    recovery = sha256;
    host.sh('dpkg --purge kleidi');
    assert.equal(host.try('test -e /etc/kleidi').exitCode, 1);
  });

  test('mistakes in install.conf are all told, and nothing is provisioned before they are corrected', () => {
    host.write('/etc/kleidi/install.conf', 'RNG=prod\nFIRST_KEK=never\nRECOVERY_KEY=/none\n');
    const { exitCode, stderr } = host.try(`dpkg -i ${deb}`);
    assert.equal(exitCode, 0, stderr);
    assert.equal(stderr.match(/^ {2}line \d: .*allowed: /gm)?.length, 4, stderr);
    assert.match(stderr, /hint: .*kleidi provision --choices \/etc\/kleidi\/install\.conf\n/);
    assert.equal(host.try('test -e /var/lib/kleidi/ring.json').exitCode, 1);
    assert.equal(host.try('test -e /etc/kubernetes').exitCode, 1);
    assert.equal(host.sh('systemctl is-active kleidi.socket'), 'active');
  });

  test('corrected, by the command of the hint: ring name and recovery key as chosen', async () => {
    const chosen = `RING=prod\nRECOVERY_KEY=/root/recovery.pub\nRECOVERY_FINGERPRINT=${recovery}\n`;
    host.write('/etc/kleidi/install.conf', chosen);
    host.sh('kleidi provision --choices /etc/kleidi/install.conf');
    await host.until('kleidi status');
    const ring = host.sh('kleidi ring show --json');
    assert.match(ring, new RegExp(`"ring": *"prod".*"recovery": *"${recovery}"`, 's'));
    host.sh('test -e /var/lib/kleidi/pin.recovery.json');
    host.sh('test -e /etc/kubernetes/kleidi/encryption-config.yaml');
    host.sh('KLEIDI_PURGE_KEYS=yes dpkg --purge kleidi');
  });

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
    const named = `--recovery /root/recovery.pub=${recovery}`;
    host.sh(`kleidi provision ${named}`);
    const { fp } = JSON.parse(host.sh(`kleidi key create ${named} --json`)) as { fp: string };
    host.sh(`kleidi key promote ${fp}`);
    assert.match(host.sh('kleidi status'), /^serving/);
    assert.match(host.sh('kleidi ring show --json'), new RegExp(`"recovery": *"${recovery}"`));
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
    assert.match(purged.stdout + purged.stderr, /to delete them for ever: rm -rf /);
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
