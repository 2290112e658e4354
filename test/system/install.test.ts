// A host as an operator sets it up: install the package, and the key service is
// up, hardened and provisioned; who may reach it; after a reboot it is there again.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { clientOf, installedHost } from '../support/installed.ts';
import { onHosts } from '../support/systemhost.ts';

const seed = randomBytes(32);
const connect = `/usr/lib/kleidi/bin/node -e "
  require('node:net').connect('/run/kleidi/kms.sock')
    .on('connect', () => process.exit(0)).on('error', (e) => { console.log(e.code); process.exit(1); })"`;

await onHosts(async () => {
  const host = await installedHost();
  let sealed: { ciphertext: Buffer; keyId: string } = { ciphertext: Buffer.alloc(0), keyId: '' };

  test('after install it serves: a client as root seals and opens', async () => {
    host.sh('systemctl start kleidi');
    const client = clientOf(host);
    sealed = await client.encrypt(seed);
    assert.equal((await client.status()).keyId, sealed.keyId);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
    client.close();
  });

  test('systemctl status says what it serves, kleidi status and doctor agree', () => {
    assert.match(
      host.sh('systemctl status kleidi'),
      new RegExp(`Status: "Serving ${sealed.keyId}`),
    );
    assert.match(host.sh('kleidi status'), /^serving/);
    const { exitCode, stdout } = host.try('kleidi doctor');
    assert.equal(exitCode, 0, stdout);
  });

  test('a member of kleidi-clients may connect, another user may not', () => {
    host.sh(
      'useradd --system inside && usermod -aG kleidi-clients inside && useradd --system outside',
    );
    assert.equal(host.try(`runuser -u inside -- ${connect}`).exitCode, 0);
    const refused = host.try(`runuser -u outside -- ${connect}`);
    assert.match(refused.stdout, /EACCES/);
    assert.equal(
      host.sh('stat -c "%U:%G %a" /run/kleidi /run/kleidi/kms.sock'),
      'root:kleidi-clients 750\nroot:kleidi-clients 660',
    );
  });

  test('files are owned as the design has it', () => {
    const paths =
      '/etc/kleidi/kleidi.yaml /etc/kleidi/credentials/pin.cred /var/lib/kleidi /var/lib/kleidi/ring.json /var/lib/kleidi/bundles /var/lib/kleidi/tokens /var/lib/kleidi/ring.json.lock';
    assert.equal(
      host.sh(`stat -c "%U:%G %a %n" ${paths}`),
      `root:kleidi 640 /etc/kleidi/kleidi.yaml
root:root 400 /etc/kleidi/credentials/pin.cred
root:kleidi 750 /var/lib/kleidi
root:kleidi 640 /var/lib/kleidi/ring.json
root:root 700 /var/lib/kleidi/bundles
kleidi-token:kleidi 750 /var/lib/kleidi/tokens
root:root 600 /var/lib/kleidi/ring.json.lock`,
    );
  });

  test('the unit is clean and its exposure at most 0.2', () => {
    assert.equal(
      host.sh(
        'systemd-analyze verify --man=no /usr/lib/systemd/system/kleidi.socket /usr/lib/systemd/system/kleidi.service 2>&1',
      ),
      '',
    );
    const exposure = /exposure level for kleidi.service: ([0-9.]+)/.exec(
      host.sh('systemd-analyze security kleidi --no-pager'),
    );
    assert.ok(Number(exposure?.[1]) <= 0.2, exposure?.[0]);
  });

  test('no secret in clear: journal, process list, files', () => {
    for (const name of ['pin', 'so-pin']) {
      const pin = host.sh(
        `systemd-creds decrypt --name=${name} /etc/kleidi/credentials/${name}.cred -`,
      );
      assert.equal(pin.length, 32);
      const files =
        '/etc /var /usr/lib/kleidi /usr/share/doc/kleidi /run/kleidi /run/kleidi-daemon /tmp';
      assert.equal(host.try(`grep -rlF -e '${pin}' ${files}`).stdout, '');
      assert.ok(!host.sh('journalctl -b --no-pager -o export').includes(pin));
      assert.ok(!host.sh('ps axeww').includes(pin));
    }
  });

  test('after a reboot the socket is there before the kubelet, the key is the same, old data opens', async () => {
    host.write(
      '/etc/systemd/system/kubelet.service',
      `[Unit]
Description=stand-in for the kubelet: notes whether the socket is there
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'test -S /run/kleidi/kms.sock && touch /run/socket-was-there'
[Install]
WantedBy=multi-user.target
`,
    );
    host.sh('systemctl enable kubelet');
    await host.reboot();
    host.sh('test -e /run/socket-was-there');
    const client = clientOf(host);
    assert.equal((await client.status()).keyId, sealed.keyId);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
    client.close();
  });

  test('a host where the daemon cannot start boots to its end all the same', async () => {
    host.sh('mv /etc/kleidi/credentials/pin.cred /var/pin.cred');
    await host.reboot();
    await host.until('systemctl is-active multi-user.target kleidi.socket');
    await host.until('journalctl -b -u kleidi | grep -q "there is no PIN"');
    host.sh('mv /var/pin.cred /etc/kleidi/credentials/pin.cred');
    await host.until('kleidi status');
  });

  test('a power cut loses nothing', async () => {
    await host.powerOff();
    await host.start();
    const client = clientOf(host);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
    client.close();
  });
});
