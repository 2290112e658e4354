// kleidi pin set on a booted host with the package: eight clients with kube-apiserver's own
// code see nothing of it, the new PIN is sealed, and a wrong one changes nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installedHost } from '../support/installed.ts';
import { describeLoad, Load, missingKubeClient } from '../support/kubeclient.ts';
import { onHosts } from '../support/systemhost.ts';

const clients = 8;
const skip = missingKubeClient();

await onHosts(async () => {
  const host = await installedHost();
  const hidden = '/etc/kleidi/credentials/pin.cred';
  const pin = (): string => host.sh(`systemd-creds decrypt --name=pin ${hidden} -`);
  const pid = (): string => host.sh('systemctl show -p MainPID --value kleidi');
  const everything =
    'find /etc/kleidi /var/lib/kleidi -type f ! -name "*.lock" -exec sha256sum {} + | sort; find /etc/kleidi /var/lib/kleidi ! -name "*.lock" -printf "%p %u %g %m\\n" | sort';
  await host.until('kleidi status');

  test('a wrong new PIN changes nothing, and the daemon goes on', () => {
    const before = [host.sh(everything), pid()];
    const { exitCode, stderr } = host.try('kleidi pin set', { input: 'a-wrong-pin\n' });
    assert.equal(exitCode, 1);
    assert.match(stderr, /refuses the new PIN; nothing was changed/);
    assert.deepEqual([host.sh(everything), pid()], before);
  });

  test('under eight clients no call fails, and the daemon serves with the new PIN', {
    skip,
  }, async (t) => {
    const [old, first] = [pin(), pid()];
    const load = await Load.start(host.outside('/run/kleidi/kms.sock'), clients, { pauseMs: 2 });
    host.sh('kleidi pin set --change --random');
    const second = pid();
    assert.notEqual(second, first, 'restarted');
    assert.notEqual(pin(), old);
    host.sh('kleidi status');
    const given = host.sh('kleidi pin set --json', { input: pin() });
    assert.deepEqual(JSON.parse(given), { pin: 'user', outcome: 'kept', daemon: 'restarted' });
    assert.notEqual(pid(), second);
    host.sh('kleidi status');
    const report = await load.stop();
    t.diagnostic(describeLoad(report));
    assert.equal(report.failed, 0, JSON.stringify(report.failures, null, 1));
    assert.equal(report.wrong, 0);
    assert.ok(report.good > 50, `only ${report.good} calls`);
  });

  test('what is sealed belongs to root alone, and doctor finds nothing wrong with it', () => {
    assert.equal(host.sh(`stat -c "%U:%G %a" ${hidden}`), 'root:root 400');
    assert.equal(host.sh('ls /etc/kleidi/credentials'), 'pin.cred\nso-pin.cred');
    host.sh('kleidi doctor --only credential --only token');
    host.sh('kleidi pin set --so --change --random');
    host.sh('kleidi doctor --only credential --only token; kleidi key list');
    const entry = host.sh('journalctl -t kleidi-admin -o cat | grep "pin set" | tail -1');
    assert.match(entry, /kleidi pin set --so --change --random: /);
  });

  test('a reboot opens the token with it', async () => {
    await host.reboot();
    await host.until('kleidi status');
  });
});
