// Golden images: the package is installed where no systemd runs, and each clone
// provisions at its own first boot, once. What is lost is never made anew.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildImage } from '../support/image.ts';
import { clientOf, packageFile } from '../support/installed.ts';
import { onHosts, SystemHost } from '../support/systemhost.ts';

const seed = Buffer.alloc(32, 9);
const note = '/var/lib/kleidi.first-boot';
const install = `dpkg -i ${packageFile('deb')}`;

async function seals(host: SystemHost): Promise<string> {
  await host.until('kleidi status');
  const client = clientOf(host);
  const { ciphertext, keyId } = await client.encrypt(seed);
  assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
  client.close();
  return keyId;
}

const identity = 'cat /etc/machine-id; ls /var/lib/kleidi/tokens; kleidi key list --json';

await onHosts(async () => {
  const image = buildImage('golden', 'bookworm', install);
  const first = await SystemHost.boot({ image });
  const second = await SystemHost.boot({ image });

  test('two clones of one image serve, each with its own machine-id, token and KEK', async () => {
    const keyIds = [await seals(first), await seals(second)];
    assert.notEqual(keyIds[0], keyIds[1]);
    const [one, two] = [first, second].map((host) => host.sh(identity).split('\n'));
    for (const at of [0, 1]) assert.notEqual(one?.[at], two?.[at]);
    for (const host of [first, second]) {
      assert.equal(host.sh('systemctl is-active kleidi.socket kleidi.service'), 'active\nactive');
      assert.equal(host.try(`test -e ${note}`).exitCode, 1);
      host.sh('test -e /etc/kubernetes/kleidi/encryption-config.yaml; kleidi doctor --only token');
      assert.match(host.journal('kleidi-first-boot'), /provisioned: ring 'kleidi', generation 1/);
    }
  });

  test('the next boot provisions nothing', async () => {
    const before = first.sh(identity);
    await first.reboot();
    assert.equal(first.sh(identity), before);
    assert.match(first.sh('systemctl show -p ConditionResult kleidi-first-boot'), /=no/);
    assert.equal(first.sh('systemctl is-failed kleidi-first-boot || :'), 'inactive');
  });

  test('a host that has lost token and ring is not taken for a new one', async () => {
    second.sh('systemctl stop kleidi.socket kleidi.service');
    second.sh('rm -r /var/lib/kleidi/tokens/* /var/lib/kleidi/ring.json');
    await second.reboot();
    assert.equal(second.sh('ls /var/lib/kleidi/tokens'), '');
    assert.notEqual(second.try('kleidi status').exitCode, 0);
  });

  test('ROLE=offline that comes into a clone: its first boot makes nothing, and leaves no unit on', async () => {
    second.sh(`rm -r /var/lib/kleidi/provision.json /etc/kleidi/credentials/* /etc/kubernetes
      echo ROLE=offline >/etc/kleidi/install.conf; touch ${note}
      systemctl enable kleidi-first-boot.service kleidi.socket kleidi.service`);
    await second.reboot();
    const units = 'kleidi.socket kleidi.service kleidi-first-boot.service';
    await second.until(`! systemctl is-active ${units}`);
    assert.match(second.journal('kleidi-first-boot'), /an offline machine: no token, ring or serv/);
    assert.equal(second.try(`systemctl is-enabled ${units}`).stdout, 'disabled\n'.repeat(3));
    assert.equal(second.sh(`ls /var/lib/kleidi/tokens; ls -d ${note} /etc/kubernetes || :`), '');
    assert.equal(second.try('kleidi doctor').exitCode, 0);
  });

  test('a token in the image is no clean start: the first boot fails, and changes nothing', async () => {
    const spoilt = buildImage(
      'spoilt',
      'bookworm',
      // Not enabled: systemd 252 counts a boot as unfinished while a service tries again.
      `${install}; systemctl disable kleidi.service; token=/var/lib/kleidi/tokens/old
       mkdir $token; echo x >$token/token.object; chown -R kleidi:kleidi $token`,
    );
    const host = await SystemHost.boot({ image: spoilt });
    assert.equal(host.sh('systemctl is-failed kleidi-first-boot'), 'failed');
    assert.match(host.journal('kleidi-first-boot'), /there is a token but no ring file/);
    assert.equal(host.sh('cat /var/lib/kleidi/tokens/old/token.object'), 'x');
    assert.equal(host.sh('ls /var/lib/kleidi/tokens'), 'old');
    host.sh(`test -e ${note}; systemctl is-active kleidi.socket`);
  });

  test('FIRST_KEK=no in the image: a token of its own, and no KEK', async () => {
    const bare = buildImage(
      'bare',
      'bookworm',
      `mkdir -p /etc/kleidi; echo FIRST_KEK=no >/etc/kleidi/install.conf; ${install}`,
    );
    const host = await SystemHost.boot({ image: bare });
    assert.equal(host.sh('systemctl is-failed kleidi-first-boot || :'), 'inactive');
    assert.match(host.sh('kleidi ring show --json'), /"generation": *0/);
    assert.notEqual(host.sh('ls /var/lib/kleidi/tokens'), '');
  });
});
