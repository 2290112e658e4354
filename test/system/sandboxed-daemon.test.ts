// The daemon in its sandbox while the host around it moves: journald's sockets are
// made anew, systemd executes itself again, the daemon restarts. It serves on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientOf, installedHost } from '../support/installed.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';

const seed = Buffer.alloc(32, 9);
const mainPid = 'systemctl show -P MainPID kleidi';

async function roundTrip(host: SystemHost): Promise<void> {
  const client = clientOf(host);
  const { ciphertext, keyId } = await client.encrypt(seed);
  assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
  client.close();
}

/** A file as the daemon sees it, or why it does not. */
function readInside(host: SystemHost, path: string): string {
  const { stdout, stderr } = host.try(
    `exec 3</usr/bin/env; nsenter -t $(${mainPid}) -m /usr/lib/kleidi/bin/node -e '
      try { process.stdout.write(fs.readFileSync("${path}", "utf8")) } catch (e) { process.stdout.write(e.code) }'`,
  );
  return stdout + stderr;
}

await onHosts(async () => {
  const hosts = [
    { suite: 'bookworm', host: await installedHost({ suite: 'bookworm' }) },
    { suite: 'trixie', host: await installedHost({ suite: 'trixie' }) },
  ] as const;
  for (const { host } of hosts) await host.until('kleidi status');

  for (const { suite, host } of hosts) {
    test(`${suite}: journald's sockets are made anew: it serves on, and its next start logs again`, async (t) => {
      const pid = host.sh(mainPid);
      const inode = 'stat -c %i /run/systemd/journal/socket';
      const before = host.sh(inode);
      host.sh(
        'systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service; rm -f /run/systemd/journal/socket /run/systemd/journal/stdout; systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service',
      );
      assert.notEqual(host.sh(inode), before);
      await roundTrip(host);
      host.sh('touch /var/lib/kleidi/ring.json; systemctl kill -s HUP --kill-whom=main kleidi');
      await roundTrip(host);
      assert.equal(host.sh(mainPid), pid);
      host.sh('systemctl restart kleidi');
      const next = host.sh(mainPid);
      const said = `journalctl -b -o cat --no-pager _PID=${next} | grep -q ^serving`;
      await host.until(said, 20_000);
      t.diagnostic('its next start is in the journal');
      await roundTrip(host);
    });

    test(`${suite}: systemd executes itself again: the watchdog still hears the daemon`, async () => {
      const pid = host.sh(mainPid);
      host.sh('systemctl daemon-reexec');
      const heard = 'systemctl show -P WatchdogTimestampMonotonic kleidi';
      const before = host.sh(heard);
      await host.until(`[ "$(${heard})" != "${before}" ]`, 30_000);
      assert.equal(host.sh(mainPid), pid);
      await roundTrip(host);
    });

    test(`${suite}: what it remembers outlives restart and kill, and stays on a small file system`, async () => {
      host.sh('install -o kleidi -g kleidi -m 600 /dev/null /run/kleidi-daemon/kept');
      host.sh('systemctl restart kleidi');
      await host.until('kleidi status');
      host.sh('systemctl kill -s KILL --kill-whom=main kleidi');
      await host.until('kleidi status');
      assert.equal(readInside(host, '/run/kleidi-daemon/kept'), '');
      assert.match(readInside(host, '/run/kleidi-daemon/start.json'), /^\{/);
      const mounts = host.sh('grep -c " /run/kleidi-daemon tmpfs .*size=1024k" /proc/mounts');
      assert.equal(mounts, '1');
      host.sh('rm /run/kleidi-daemon/kept');
    });

    test(`${suite}: without that file system it serves, and can write nothing`, async () => {
      host.sh(
        'systemctl stop kleidi.service; umount /run/kleidi-daemon; mv /usr/bin/mount /usr/bin/hidden',
      );
      try {
        host.sh('systemctl start kleidi.service');
        await host.until('kleidi status');
        assert.equal(host.sh('stat -c %U /run/kleidi-daemon'), 'root');
        assert.equal(host.sh('ls -A /run/kleidi-daemon'), '');
      } finally {
        host.sh('mv /usr/bin/hidden /usr/bin/mount; systemctl restart kleidi.service');
      }
      await host.until('test -s /run/kleidi-daemon/start.json');
    });

    test(`${suite}: the vault drop-in brings name resolution back, and no D-Bus`, async () => {
      host.sh(`mkdir -p /run/systemd/resolve; echo nameserver 192.0.2.53 > /run/systemd/resolve/stub-resolv.conf
        cp /etc/resolv.conf /var/resolv.kept; ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
        systemctl restart kleidi.service`);
      await host.until('kleidi status');
      assert.equal(readInside(host, '/etc/resolv.conf'), 'ENOENT');
      host.sh(
        'install -Dm644 /usr/lib/kleidi/drop-ins/vault.conf /etc/systemd/system/kleidi.service.d/vault.conf; systemctl daemon-reload; systemctl restart kleidi.service',
      );
      await host.until('kleidi status');
      assert.match(readInside(host, '/etc/resolv.conf'), /192\.0\.2\.53/);
      assert.equal(readInside(host, '/run/dbus/system_bus_socket'), 'ENOENT');
    });
  }
});
