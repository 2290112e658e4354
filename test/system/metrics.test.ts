// Metrics for the network on a host that serves: nothing of the key service is touched by
// it, and who passes connections on can do nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientOf, installedHost } from '../support/installed.ts';
import { onHosts, type Suite, type SystemHost } from '../support/systemhost.ts';

const units = 'kleidi-metrics.socket kleidi-metrics.service';

/** `STATUS TEXT` of this path, over TCP inside the host. */
function get(host: SystemHost, path: string): string {
  const code = `const r = await fetch('http://127.0.0.1:9464${path}', { signal: AbortSignal.timeout(20_000) }); console.log(r.status, (await r.text()).trim())`;
  return host.sh(`/usr/lib/kleidi/bin/node --input-type=module -e "${code}"`);
}

const exposure = (host: SystemHost, unit: string): number =>
  Number(
    /exposure level for \S+: ([0-9.]+)/.exec(
      host.sh(`systemd-analyze security ${unit} --no-pager`),
    )?.[1],
  );

const startOf = (host: SystemHost, unit: string): string =>
  host.sh(`systemctl show -P MainPID -P ActiveEnterTimestampMonotonic ${unit}`);

/** Whether the proxy has this in its mounts, where nothing can be executed to ask for it. */
function isInSight(host: SystemHost, path: string): boolean {
  get(host, '/healthz');
  const root = '/proc/$(systemctl show -P MainPID kleidi-metrics.service)/root';
  return host.sh(`test -d ${root}/usr; test -e ${root}${path} && echo yes || echo no`) === 'yes';
}

async function check(suite: Suite): Promise<void> {
  const host = await installedHost({ suite });
  await host.until('kleidi status');
  const on = (name: string): string => `${suite}: ${name}`;

  test(on('not enabled, and no TCP socket, before somebody says so'), () => {
    assert.doesNotMatch(host.sh('kleidi doctor --only metrics'), /metrics/);
    assert.match(host.try('systemctl is-enabled kleidi-metrics.socket').stdout, /^disabled/);
    assert.doesNotMatch(host.sh('ss -Htln'), /9464/);
  });

  test(
    on('enabled on a serving host: answered by the same daemon, which holds no TCP'),
    async () => {
      const before = startOf(host, 'kleidi.service');
      host.sh('systemctl enable --now kleidi-metrics.socket');
      const client = clientOf(host);
      await client.encrypt(Buffer.alloc(32, 7));
      client.close();
      await host.until('test -S /run/kleidi-daemon/metrics/metrics.sock');
      const text = get(host, '/metrics');
      assert.match(text, /^200 # HELP/);
      assert.match(text, /^kleidi_calls_total\{rpc="Encrypt",code="OK"\} [1-9]/m);
      assert.equal(get(host, '/healthz'), '200 ok');
      const doctor = host.sh('kleidi doctor --only metrics');
      assert.match(doctor, /metrics are answered at 127\.0\.0\.1:9464/);
      assert.match(host.sh('ss -Htln'), /127\.0\.0\.1:9464/);
      assert.equal(startOf(host, 'kleidi.service'), before);
      const pid = host.sh('systemctl show -P MainPID kleidi.service');
      assert.doesNotMatch(host.sh('ss -Haptnu'), new RegExp(`pid=${pid},`));
    },
  );

  test(on('a restart of the daemon is seen through; the proxy ends when nobody asks'), async () => {
    host.sh('systemctl restart kleidi.service');
    await host.until('kleidi status');
    await host.until('test -S /run/kleidi-daemon/metrics/metrics.sock');
    assert.equal(get(host, '/readyz'), '200 ok');
    await host.until('test "$(systemctl is-active kleidi-metrics.service)" = inactive');
    assert.equal(host.sh('systemctl show -P Result kleidi-metrics.service'), 'success');
    assert.equal(get(host, '/readyz'), '200 ok');
    assert.doesNotMatch(host.journal('kleidi-metrics.service'), /Started|Deactivated/);
  });

  test(on('a daemon that is stopped is not started by a scrape'), async () => {
    host.sh('systemctl stop kleidi.socket kleidi.service');
    assert.throws(() => get(host, '/metrics'));
    const { stdout } = host.try('kleidi doctor --only metrics');
    assert.match(stdout, /the daemon has no socket at|nobody answers at/);
    assert.equal(host.try('systemctl is-active kleidi.service').stdout.trim(), 'inactive');
    host.sh('systemctl start kleidi.socket kleidi.service');
    await host.until('kleidi status');
    await host.until('test -S /run/kleidi-daemon/metrics/metrics.sock');
    assert.equal(get(host, '/healthz'), '200 ok');
  });

  test(on('the exposure: the key service 0.2 as before, the proxy under 1.0'), (t) => {
    assert.ok(exposure(host, 'kleidi.service') <= 0.2);
    assert.ok(exposure(host, 'kleidi-metrics.service') < 1);
    t.diagnostic(`${exposure(host, 'kleidi-metrics.service')}`);
    const verify = 'systemd-analyze verify --man=no';
    const files = units.split(' ').map((unit) => `/usr/lib/systemd/system/${unit}`);
    assert.equal(host.sh(`${verify} ${files.join(' ')} 2>&1`), '');
  });

  test(on('the proxy sees no token, no setting and no socket of kleidi but its own'), () => {
    for (const path of [
      '/var/lib/kleidi/ring.json',
      '/var/lib/kleidi/tokens',
      '/etc/kleidi/kleidi.yaml',
      '/run/kleidi/kms.sock',
      '/run/kleidi-daemon/start.json',
      '/run/dbus/system_bus_socket',
    ]) {
      host.sh(`test -e ${path}`);
      assert.equal(isInSight(host, path), false, path);
    }
    assert.ok(isInSight(host, '/run/kleidi-daemon/metrics/metrics.sock'));
    const user = host.sh('stat -c %U /proc/$(systemctl show -P MainPID kleidi-metrics)');
    assert.doesNotMatch(host.sh('getent group kleidi kleidi-clients'), new RegExp(`\\b${user}\\b`));
  });

  test(on('a removal stops and disables it'), () => {
    host.sh('dpkg -r kleidi');
    assert.doesNotMatch(host.sh('ss -Htln'), /9464/);
    assert.equal(host.try('ls /etc/systemd/system/sockets.target.wants').stdout.trim(), '');
  });
}

await onHosts(async () => {
  await check('bookworm');
  await check('trixie');
});
