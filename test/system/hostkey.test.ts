// A host whose machine-id has changed: no command of ours lets systemd delete the key
// of the PIN, and where the boot has done so, it can be put back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ring } from '../../src/keyring/ring.ts';
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
        echo $sha256 > sha256; kleidi provision --recovery recovery.pub=$sha256`);
      host.sh(`rm ${key} ${key}.kleidi; systemctl restart --no-block kleidi`);
      await host.until(
        'journalctl -u kleidi -b | grep -q "key that the PIN is sealed with is gone"',
      );
      const { exitCode, stdout } = host.try('kleidi doctor --only credential');
      assert.equal(exitCode, 1);
      assert.match(stdout, /recovery key: \S+\/operations\.md, lost host key/);
      host.sh(`cd /var/aside
        echo ${passphrase} | kleidi recovery pin /var/lib/kleidi/pin.recovery.json --key recovery.key --out pin.clear --passphrase-fd 0
        kleidi pin set --recovery recovery.pub=$(cat sha256) < pin.clear && shred -u pin.clear`);
      assert.equal(pin(), before);
      host.sh(`cmp ${key} ${key}.kleidi`);
      await host.until('kleidi status');
      const again = clientOf(host);
      assert.deepEqual(await again.decrypt(sealed.ciphertext, sealed.keyId), seed);
      again.close();
    });

    // The rest does not hang on the age of systemd.
    if (suite !== 'trixie') continue;

    test('files that belong to root alone: doctor finds it while the host still serves, provision mends it', () => {
      const owners = 'stat -c "%U:%G %a %n" /var/lib/kleidi /var/lib/kleidi/*';
      const before = host.sh(owners);
      const pid = host.sh('systemctl show -p MainPID --value kleidi');
      host.sh('chown -R root:root /var/lib/kleidi; chmod 0700 /var/lib/kleidi');
      // Longer than it takes the daemon to look at its ring again.
      host.sh('sleep 2');
      assert.equal(host.sh('systemctl show -p MainPID --value kleidi'), pid, 'it serves on');
      const { exitCode, stdout } = host.try(
        'kleidi status; kleidi doctor --only ring --only token',
      );
      assert.equal(exitCode, 1, stdout);
      for (const path of [
        '/var/lib/kleidi',
        '/var/lib/kleidi/ring.json',
        '/var/lib/kleidi/tokens',
      ]) {
        assert.match(stdout, new RegExp(`FAIL .*${path} has uid 0[\\s\\S]*do: chown .*${path} `));
      }
      host.sh('kleidi provision');
      assert.equal(host.sh(owners), before);
      assert.equal(host.try('kleidi doctor --only ring --only token').exitCode, 0);
    });

    test('token, PIN and ring are lost: the package says how the host comes back, and it does', async () => {
      const old = (JSON.parse(host.sh('kleidi ring show --json')) as Ring).keks[0]?.fp;
      const sha256 = host.sh(
        `cd /var/aside; echo ${passphrase} | kleidi recovery create --out way --passphrase-fd 0`,
      );
      const created = host.sh(`kleidi key create --recovery /var/aside/way.pub=${sha256} --json`);
      const { fp } = JSON.parse(created) as { fp: string };
      host.sh(`kleidi key promote ${fp}; kleidi key retire ${old}`);
      const client = clientOf(host);
      const sealed = await client.encrypt(seed);
      client.close();
      // What another member would have.
      host.sh(
        'cp -r /var/lib/kleidi/bundles /var/aside; kleidi ring export --out /var/aside/ring.json',
      );
      const digest = host.sh('kleidi ring digest');
      host.sh(`systemctl stop kleidi.service kleidi.socket
        rm -r /var/lib/kleidi/tokens/* /var/lib/kleidi/ring.json /etc/kleidi/credentials/pin.cred
        systemctl start kleidi.socket; systemctl start --no-block kleidi.service`);
      const told = host.try('kleidi provision');
      assert.equal(told.exitCode, 1);
      assert.match(told.stderr, /the token is missing/);
      const replace = 'kleidi provision --replace lost-token';
      assert.match(host.try(replace).stderr, /hint: .*kleidi ring export.*--member-ring/);
      host.sh(`${replace} --member-ring /var/aside/ring.json --expect ${digest}`);
      // The new PIN comes to a new process; nobody has to start it.
      await host.until('kleidi status --json | grep -q "ring-empty"');
      assert.equal(
        host.sh(
          'stat -c "%U:%G %a" /var/lib/kleidi/ring.json /var/lib/kleidi/tokens /var/lib/kleidi/replaced',
        ),
        'root:kleidi 640\nkleidi-token:kleidi 750\nroot:root 700',
      );
      host.sh(`cd /var/aside; request=$(kleidi key request --out here.request --json | sed -n 's/.*"sha256": *"\\([0-9a-f]*\\)".*/\\1/p')
        echo ${passphrase} | kleidi recovery rewrap bundles/${fp}.json --key way.key --for here.request=$request --ring ring.json --expect ${digest} --out here.bundle --passphrase-fd 0
        kleidi join here.bundle --expect ${digest}`);
      await host.until('kleidi status');
      const again = clientOf(host);
      assert.deepEqual(await again.decrypt(sealed.ciphertext, sealed.keyId), seed);
      again.close();
      assert.equal(host.try('kleidi doctor').exitCode, 0);
    });

    test('a copied disk: refused as such, and with the word of the operator it gets a token of its own', async () => {
      const before = pin();
      host.sh('echo 0123456789abcdef0123456789abcdef > /etc/machine-id');
      const told = host.try('kleidi provision');
      assert.match(told.stderr, /hint: .*kleidi provision --replace copied-disk/);
      host.sh('kleidi provision --replace copied-disk --copied');
      assert.notEqual(pin(), before);
      // Apart from the PIN that it opens.
      host.sh(`test -e ${key}.replaced -a -e ${key}.kleidi.replaced; cmp ${key} ${key}.kleidi`);
      assert.doesNotMatch(host.sh('find /var/lib/kleidi/replaced'), /secret/);
      // It has served from memory until now: its API server would go on.
      host.sh('systemctl restart kleidi');
      await host.until('kleidi status --json | grep -q "ring-empty"');
      assert.equal(host.try('kleidi doctor --only credential --only token').exitCode, 0);
    });
  }
});
