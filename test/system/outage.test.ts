// What eight clients with kube-apiserver's own code see of a kill, a restart, an
// upgrade and a downgrade on a booted host: nobody is refused, and an orderly end
// loses no call. Gaps are printed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bareHost, packageFile } from '../support/installed.ts';
import { describeLoad, Load, type LoadReport, missingKubeClient } from '../support/kubeclient.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';

const clients = 8;
/** Before kleidi-token owned the token; the daemon keeps it open meanwhile. */
const olderLayout = `chown -R kleidi:kleidi /var/lib/kleidi/tokens
  chmod -R g= /var/lib/kleidi/tokens; chmod 0700 /run/kleidi-daemon`;
const skip = missingKubeClient();

/** Runs shell commands on the host, one after the other, while the clients call. */
async function underLoad(host: SystemHost, commands: readonly string[]): Promise<LoadReport> {
  const load = await Load.start(host.outside('/run/kleidi/kms.sock'), clients, { pauseMs: 2 });
  for (const command of commands) {
    host.sh(command);
    await host.until('kleidi status');
    await sleep(1_000);
  }
  return load.stop();
}

function requireNoneRefused(report: LoadReport): void {
  const texts = report.failures.flatMap(({ first }) => first).join('\n');
  assert.doesNotMatch(texts, /refused|no such file/i);
  assert.equal(report.wrong, 0);
  assert.ok(report.good > 50, `only ${report.good} calls`);
}

function requireNoneFailed(report: LoadReport): void {
  requireNoneRefused(report);
  assert.equal(report.failed, 0, JSON.stringify(report.failures, null, 1));
}

await onHosts(async () => {
  const hosts = { deb: await bareHost(), rpm: await bareHost() };
  hosts.deb.sh(`dpkg -i ${packageFile('deb')}`);
  hosts.rpm.sh(`rpm -i --nodeps ${packageFile('rpm')}`);
  for (const host of Object.values(hosts)) await host.until('kleidi status');

  test('kill -9, five times: at most the calls in flight fail', { skip }, async (t) => {
    const kill = 'systemctl kill -s KILL --kill-whom=main kleidi';
    const report = await underLoad(hosts.deb, Array(5).fill(kill));
    t.diagnostic(describeLoad(report));
    requireNoneRefused(report);
    assert.ok(report.failed <= 5 * clients, JSON.stringify(report.failures, null, 1));
  });

  test('systemctl restart, five times: no call fails', { skip }, async (t) => {
    const report = await underLoad(hosts.deb, Array(5).fill('systemctl restart kleidi'));
    t.diagnostic(describeLoad(report));
    requireNoneFailed(report);
  });

  for (const [kind, install] of [
    ['deb', 'dpkg -i'],
    ['rpm', 'rpm -U --oldpackage --nodeps'],
  ] as const) {
    test(`${kind}: an upgrade and a downgrade: no call fails, socket and keys stay`, {
      skip,
    }, async (t) => {
      const host = hosts[kind];
      host.sh(olderLayout);
      const facts = 'cat /var/lib/kleidi/ring.json; stat -c %i /run/kleidi/kms.sock';
      const pid = 'systemctl show -p MainPID --value kleidi';
      const [before, firstPid] = [host.sh(facts), host.sh(pid)];
      const upgrade = await underLoad(host, [`${install} ${packageFile(kind, '99.1.0')}`]);
      t.diagnostic(`upgrade: ${describeLoad(upgrade)}`);
      assert.match(host.sh('kleidi version --json'), /99\.1\.0/);
      assert.notEqual(host.sh(pid), firstPid);
      const downgrade = await underLoad(host, [`${install} ${packageFile(kind)}`]);
      t.diagnostic(`downgrade: ${describeLoad(downgrade)}`);
      assert.doesNotMatch(host.sh('kleidi version --json'), /99\.1\.0/);
      requireNoneFailed(upgrade);
      requireNoneFailed(downgrade);
      assert.equal(host.sh(facts), before);
      const files = 'stat -c "%U:%G %a" $(find /var/lib/kleidi/tokens) | sort -u';
      assert.equal(host.sh(files), 'kleidi-token:kleidi 640\nkleidi-token:kleidi 750');
    });
  }
});
