// What before-start says of an end with exit status 243: what files prove, and no more; and
// it never runs systemd-creds, which deletes the host key where the machine-id is wrong.
// What else it runs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installedHost } from '../support/installed.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';

const key = '/var/lib/systemd/credential.secret';
const lost = /lost token|token is lost/;

/** The daemon has just ended with this status. Starts nothing: systemd too looks at what is changed here. */
function endWith243(host: SystemHost): void {
  const program = '/usr/lib/kleidi/kleidi.js';
  host.sh(`cp -p ${program} /var/kept.js; echo 'process.exit(243)' > ${program}
    awk '{ print int($1 * 100), 1 }' /proc/uptime > /var/starts; rm -f /run/kleidi-daemon.starts
    systemctl start kleidi.service || :; systemctl stop kleidi.socket kleidi.service kleidi-prepare.service
    cp -p /var/kept.js ${program}; test "$(systemctl show -p ExecMainStatus --value kleidi)" = 243
    install -d /var/quick; printf '#!/bin/sh\n' > /var/quick/sleep; chmod 755 /var/quick/sleep`);
}

/** Its lines at the next start, and the programs that it has run. */
function told(host: SystemHost): { readonly says: string; readonly runs: string } {
  const since = host.sh('date +%s.%N');
  host.sh(`cp /var/starts /run/kleidi-daemon.starts; rm -f /run/kleidi-daemon.made
    install -d /var/here; cd /var/here
    PATH=/var/quick:$PATH strace -qq -f -e trace=execve -o /tmp/runs sh /usr/lib/kleidi/before-start`);
  assert.equal(host.sh('ls -A /var/here; ls /run/kleidi-daemon.made'), '/run/kleidi-daemon.made');
  // -m: under whatever machine-id it was written.
  const says = host.sh(`journalctl --sync; journalctl -m -u kleidi -o cat --since @${since}`);
  return { says, runs: host.read('/tmp/runs') };
}

await onHosts(async () => {
  const host = await installedHost();
  await host.until('kleidi status');
  host.sh(`cp -p ${key} /etc/machine-id /var/; systemctl stop kleidi.socket kleidi.service`);

  test('the daemon itself ends with 243: nothing is said to be lost', async () => {
    host.sh(`cp -p /usr/lib/kleidi/kleidi.js /var/kept.js; echo 'process.exit(243)' > /usr/lib/kleidi/kleidi.js
      systemctl start --no-block kleidi.service`);
    await host.until('journalctl -u kleidi -b -o cat | grep -q "exit status 243"');
    host.sh(
      'cp -p /var/kept.js /usr/lib/kleidi/kleidi.js; systemctl stop kleidi.service kleidi.socket',
    );
    assert.doesNotMatch(host.journal(), lost);
  });

  test('the machine-id is another one: that comes first', () => {
    endWith243(host);
    host.sh('echo 0123456789abcdef0123456789abcdef > /etc/machine-id');
    const { says, runs } = told(host);
    host.sh('cp -p /var/machine-id /etc/');
    assert.match(says, /error: the PIN is sealed to this host under another \/etc\/machine-id/);
    assert.match(says, /hint: put the machine-id of before back first/);
    assert.doesNotMatch(says, lost);
    assert.doesNotMatch(runs, /systemd-creds/);
    assert.equal(host.try(`cmp ${key} /var/credential.secret`).exitCode, 0);
  });

  test('the host key is gone: only then a token may be lost', () => {
    host.sh(`rm ${key}`);
    const { says } = told(host);
    assert.match(says, /error: the key that the PIN is sealed with is gone/);
    assert.doesNotMatch(says, lost);
    assert.match(says, /hint: install -m 0400 \S+\.kleidi \S+credential\.secret$/m);
    host.sh(`mv ${key}.kleidi /var/copy`);
    const alone = told(host).says;
    assert.match(alone, lost, 'there is no copy either');
    assert.doesNotMatch(alone, /recovery/, 'nor a recovery key');
    host.sh('touch /var/lib/kleidi/pin.recovery.json');
    const wrapped = told(host).says;
    host.sh('rm /var/lib/kleidi/pin.recovery.json');
    assert.doesNotMatch(wrapped, lost, 'the recovery key opens the PIN');
    assert.match(
      wrapped,
      /hint: .*backup.*kleidi recovery pin \S+\/pin\.recovery\.json, .*lost host key/,
    );
    assert.equal(host.try(`test -e ${key}`).exitCode, 1);
    host.sh(`mv /var/copy ${key}.kleidi`);
    host.sh(`cp -p /var/credential.secret ${key}; systemctl start kleidi.socket kleidi.service`);
  });

  test('before a start no program runs where the folder is there, and it is made where it is not', () => {
    const afresh = 'rm -f /run/kleidi-daemon.starts';
    const run = `${afresh}; strace -qq -f -e trace=execve -o /tmp/runs sh /usr/lib/kleidi/before-start
      grep -c " /run/kleidi-daemon tmpfs .*size=1024k" /proc/mounts; grep -c execve /tmp/runs`;
    host.sh(
      `systemctl stop kleidi.socket kleidi.service; ${afresh}; sh /usr/lib/kleidi/before-start`,
    );
    assert.equal(host.sh(run), '1\n1');
    host.sh('umount /run/kleidi-daemon');
    assert.match(host.sh(run), /^1\n[2-9]$/);
    assert.equal(host.sh(run), '1\n1');
    host.sh(`${afresh}; systemctl start kleidi.socket kleidi.service`);
  });
});
