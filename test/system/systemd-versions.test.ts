// Other systemds: Debian 13 has 257; Ubuntu 22.04 has 249, which knows no
// encrypted credentials (shown by hiding systemd-creds).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareHost, clientOf, packageFile } from '../support/installed.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';

async function roundTrip(host: SystemHost): Promise<void> {
  const client = clientOf(host);
  const { ciphertext, keyId } = await client.encrypt(Buffer.alloc(32, 1));
  assert.deepEqual(await client.decrypt(ciphertext, keyId), Buffer.alloc(32, 1));
  client.close();
}

await onHosts(async () => {
  const trixie = await bareHost({ suite: 'trixie' });
  const old = await bareHost();

  test('Debian 13: installs, serves, survives a reboot, stays at 0.2', async () => {
    trixie.sh(`dpkg -i ${packageFile('deb')}`);
    await trixie.until('kleidi status');
    await roundTrip(trixie);
    const exposure = /exposure level for kleidi.service: ([0-9.]+)/.exec(
      trixie.sh('systemd-analyze security kleidi --no-pager'),
    );
    assert.ok(Number(exposure?.[1]) <= 0.2, exposure?.[0]);
    assert.equal(
      trixie.sh(
        'systemd-analyze verify --man=no /usr/lib/systemd/system/kleidi.socket /usr/lib/systemd/system/kleidi.service 2>&1',
      ),
      '',
    );
    await trixie.reboot();
    await trixie.until('kleidi status');
    await roundTrip(trixie);
  });

  test('without systemd-creds: says so, and serves with a credential that root alone reads', async () => {
    old.sh('mv /usr/bin/systemd-creds /usr/bin/hidden');
    const installed = old.try(`dpkg -i ${packageFile('deb')}`);
    assert.equal(installed.exitCode, 0, installed.stderr);
    assert.match(
      installed.stderr + installed.stdout,
      /cannot encrypt credentials .*in clear, for root alone/,
    );
    await old.until('kleidi status');
    await roundTrip(old);
    assert.equal(old.sh('stat -c "%U:%G %a" /etc/kleidi/credentials/pin'), 'root:root 400');
    assert.match(
      old.sh('systemctl cat kleidi'),
      /^LoadCredential=pin:\/etc\/kleidi\/credentials\/pin$/m,
    );
    assert.match(old.sh('kleidi key list'), /write/);
    await old.reboot();
    await old.until('kleidi status');
  });
});
