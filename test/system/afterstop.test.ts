// What after-stop says of exit status 243: what files prove, and no more; and it
// never runs systemd-creds, which deletes the host key where the machine-id is wrong.
// What before-start runs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installedHost } from '../support/installed.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';

const key = '/var/lib/systemd/credential.secret';
const lost = /lost token|token is lost/;

/** Its lines, and the programs that it has run. */
function afterStop(host: SystemHost): { readonly says: string; readonly runs: string } {
  const run =
    'strace -qq -f -e trace=execve -o /tmp/runs env EXIT_CODE=exited EXIT_STATUS=243 sh /usr/lib/kleidi/after-stop';
  const says = host.sh(run);
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
    host.sh('echo 0123456789abcdef0123456789abcdef > /etc/machine-id');
    const { says, runs } = afterStop(host);
    host.sh('cp -p /var/machine-id /etc/');
    assert.match(says, /error: the PIN is sealed to this host under another \/etc\/machine-id/);
    assert.match(says, /hint: put the machine-id of before back first/);
    assert.doesNotMatch(says, lost);
    assert.doesNotMatch(runs, /systemd-creds/);
    assert.equal(host.try(`cmp ${key} /var/credential.secret`).exitCode, 0);
  });

  test('the host key is gone: only then a token may be lost', () => {
    host.sh(`rm ${key}`);
    const { says } = afterStop(host);
    assert.match(says, /error: the key that the PIN is sealed with is gone/);
    assert.doesNotMatch(says, lost);
    assert.match(says, /hint: install -m 0400 \S+\.kleidi \S+credential\.secret$/m);
    host.sh(`mv ${key}.kleidi /var/copy`);
    const alone = afterStop(host).says;
    assert.match(alone, lost, 'there is no copy either');
    assert.doesNotMatch(alone, /recovery/, 'nor a recovery key');
    host.sh('touch /var/lib/kleidi/pin.recovery.json');
    const wrapped = afterStop(host).says;
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
