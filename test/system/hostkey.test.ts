// A host whose machine-id has changed: no command of ours lets systemd delete the key
// of the PIN, and where the boot has done so, it can be put back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientOf, installedHost } from '../support/installed.ts';
import { onHosts, type Suite } from '../support/systemhost.ts';

const key = '/var/lib/systemd/credential.secret';
const passphrase = 'six-random-words-to-test-with';
const seed = Buffer.alloc(32, 9);
const suites: readonly Suite[] = ['bookworm', 'trixie'];

await onHosts(async () => {
  for (const suite of suites) {
    const host = await installedHost({ suite });
    const pin = (): string =>
      host.sh('systemd-creds decrypt --name=pin /etc/kleidi/credentials/pin.cred - | sha256sum');

    test(`${suite}: with another machine-id every command refuses, and the key stays`, () => {
      const before = [pin(), host.sh(`sha256sum ${key}`)];
      host.sh('cp /etc/machine-id /var/old-id; systemctl stop kleidi.socket kleidi.service');
      host.sh(
        'umount /etc/machine-id 2>/dev/null; echo 0123456789abcdef0123456789abcdef > /etc/machine-id',
      );
      for (const command of [
        'kleidi doctor',
        'kleidi doctor --only credential',
        'kleidi key list',
        'kleidi key create',
        'kleidi provision',
      ]) {
        const { exitCode, stdout, stderr } = host.try(command);
        assert.notEqual(exitCode, 0, `${command}: ${stdout}${stderr}`);
        assert.match(stdout + stderr, /machine-id/, command);
      }
      assert.equal(host.sh(`sha256sum ${key}`), before[1], 'the key is there');
      host.sh('cat /var/old-id > /etc/machine-id');
      assert.equal(pin(), before[0], 'and opens the PIN again');
    });

    test(`${suite}: where systemd itself has deleted the key, the copy brings the PIN back`, async () => {
      const before = pin();
      host.sh('echo 0123456789abcdef0123456789abcdef > /etc/machine-id');
      // What a boot does, through LoadCredentialEncrypted=.
      assert.notEqual(
        host.try('systemd-creds decrypt --name=pin /etc/kleidi/credentials/pin.cred -').exitCode,
        0,
      );
      assert.notEqual(host.try(`test -e ${key}`).exitCode, 0, 'deleted');
      const first = host.try('kleidi doctor --only credential');
      assert.match(first.stdout + first.stderr, /first put the old machine-id back/);
      host.sh('cat /var/old-id > /etc/machine-id');
      const { stdout, stderr } = host.try('kleidi doctor --only credential');
      const [command = ''] = /install -m 0400 \S+ \S+/.exec(stdout + stderr) ?? [];
      assert.notEqual(command, '', stdout + stderr);
      host.sh(command);
      assert.equal(pin(), before);
      host.sh('systemctl start kleidi.socket kleidi.service');
      await host.until('kleidi status');
    });

    test(`${suite}: where key and copy are gone, the recovery key brings the PIN back`, async () => {
      const client = clientOf(host);
      const sealed = await client.encrypt(seed);
      client.close();
      const before = pin();
      host.sh(`cd /var/aside || { mkdir /var/aside; cd /var/aside; }
        sha256=$(echo ${passphrase} | kleidi recovery create --out recovery --passphrase-fd 0)
        kleidi provision --recovery recovery.pub=$sha256`);
      host.sh(`rm ${key} ${key}.kleidi; systemctl restart --no-block kleidi`);
      await host.until(
        'journalctl -u kleidi -b | grep -q "key that the PIN is sealed with is gone"',
      );
      const { exitCode, stdout } = host.try('kleidi doctor --only credential');
      assert.equal(exitCode, 1);
      assert.match(stdout, /recovery key: docs\/operations\.md, lost host key/);
      host.sh(`cd /var/aside
        echo ${passphrase} | kleidi recovery pin /var/lib/kleidi/pin.recovery.json --key recovery.key --out pin.clear --passphrase-fd 0
        systemd-creds encrypt --with-key=host --name=pin pin.clear /etc/kleidi/credentials/pin.cred
        rm pin.clear; kleidi provision`);
      assert.equal(pin(), before);
      host.sh(`systemctl restart kleidi; cmp ${key} ${key}.kleidi`);
      await host.until('kleidi status');
      const again = clientOf(host);
      assert.deepEqual(await again.decrypt(sealed.ciphertext, sealed.keyId), seed);
      again.close();
    });
  }
});
