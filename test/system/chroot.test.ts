// The package installed into a tree on a booted host, in a chroot that sees its
// /run, /proc and /dev as an image build has them: neither of the two is touched.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareHost, packageFile } from '../support/installed.ts';
import { baseTree, onHosts } from '../support/systemhost.ts';

const state =
  'systemctl list-unit-files "kleidi*"; ls -lR /run/kleidi* 2>&1; ls -a /etc/kleidi /var/lib/kleidi 2>&1 || :';

await onHosts(async () => {
  const host = await bareHost({ bind: [`${baseTree('bookworm')}:/opt/tree`] });
  const deb = packageFile('deb');

  test('a chroot that sees /run/systemd/system: no token, no PIN, no host key, no unit of the host', () => {
    host.sh(`mkdir -p /opt/image && mount -t tmpfs image /opt/image
      cd /opt/image && mkdir upper work root
      mount -t overlay image -o lowerdir=/opt/tree,upperdir=upper,workdir=work root
      for folder in run proc sys dev; do mount --rbind /$folder root/$folder; done
      mkdir -p root/opt/packages && mount --bind /opt/packages root/opt/packages`);
    const before = host.sh(state);
    const installed = host.try(`chroot /opt/image/root dpkg -i ${deb}`);
    assert.equal(installed.exitCode, 0, installed.stderr);
    assert.match(installed.stderr, /kleidi-first-boot.service provisions/);
    assert.equal(host.sh(state), before);
    assert.equal(host.sh('ls /opt/image/root/var/lib/kleidi/tokens'), '');
    for (const path of ['etc/kleidi/credentials/pin.cred', 'var/lib/systemd/credential.secret']) {
      assert.notEqual(host.try(`test -e /opt/image/root/${path}`).exitCode, 0, path);
    }
    assert.equal(
      host.sh('systemctl --root=/opt/image/root is-enabled kleidi.socket kleidi.service'),
      'enabled\nenabled',
    );
  });

  test('on a host that serves, building an image takes nothing from its clients', async () => {
    host.sh(`dpkg -i ${deb}`);
    await host.until('kleidi status');
    const clients = 'stat -c "%U:%G %a" /run/kleidi /run/kleidi/kms.sock';
    const before = host.sh(clients);
    host.sh('chroot /opt/image/root groupmod -g 4321 kleidi-clients');
    for (const command of [`dpkg -i ${deb}`, 'dpkg -r kleidi', 'dpkg --purge kleidi']) {
      host.sh(`KLEIDI_PURGE_KEYS=yes KLEIDI_FORCE_REMOVE=yes chroot /opt/image/root ${command}`);
    }
    assert.equal(host.sh(clients), before);
    assert.equal(host.sh('systemctl is-active kleidi.socket kleidi.service'), 'active\nactive');
    host.sh('mountpoint -q /run/kleidi-daemon && kleidi status');
  });
});
