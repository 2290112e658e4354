// What goes wrong on a host, each with a client waiting all the time: a clear
// line with the fix, no loop, the socket stays, and it serves as soon as it is fixed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Fault,
  keepWaiting,
  requireApart,
  startsIn,
  sufferAndMend,
  until,
} from '../support/hostfaults.ts';
import { installedHost } from '../support/installed.ts';
import { onHosts } from '../support/systemhost.ts';

const faults: readonly Fault[] = [
  {
    name: 'a missing credential',
    plant: 'mv /etc/kleidi/credentials/pin.cred /var/aside/',
    fix: 'mv /var/aside/pin.cred /etc/kleidi/credentials/',
    says: [/error: there is no PIN/, /hint: .*pin\.cred back/],
    ends: true,
  },
  {
    name: 'a configuration with a bad field',
    plant:
      'cp -p /etc/kleidi/kleidi.yaml /var/aside/; echo "selfTest: { intervalMs: soon }" >> /etc/kleidi/kleidi.yaml',
    fix: 'cp -p /var/aside/kleidi.yaml /etc/kleidi/',
    says: [/selfTest.*: found "soon"|already|duplicate|unique/i, /hint: .*config check/],
    ends: true,
  },
  {
    name: 'a wrong PIN',
    plant:
      'mv /etc/kleidi/credentials/pin.cred /var/aside/; printf 000000000000 | systemd-creds encrypt --with-key=host --name=pin - /etc/kleidi/credentials/pin.cred',
    fix: 'mv /var/aside/pin.cred /etc/kleidi/credentials/',
    says: [/PIN|damaged/],
    restart: true,
  },
  {
    name: 'a token folder of the wrong owner',
    plant: 'chown -R root:root /var/lib/kleidi/tokens',
    fix: 'systemd-tmpfiles --create kleidi.conf',
    says: [/token/],
  },
  {
    name: 'a missing token folder',
    plant:
      'mv /var/lib/kleidi/tokens /var/aside/; install -d -o kleidi-token -g kleidi -m 750 /var/lib/kleidi/tokens',
    fix: 'rmdir /var/lib/kleidi/tokens; mv /var/aside/tokens /var/lib/kleidi/',
    says: [/token/],
  },
  {
    name: 'a missing module',
    plant: 'mv /usr/lib/softhsm /usr/lib/gone',
    fix: 'mv /usr/lib/gone /usr/lib/softhsm',
    says: [/module/i, /libsofthsm2\.so/],
  },
  {
    name: 'a corrupt ring file',
    plant: 'cp -p /var/lib/kleidi/ring.json /var/aside/; echo "{" > /var/lib/kleidi/ring.json',
    fix: 'cp -p /var/aside/ring.json /var/lib/kleidi/',
    says: [/ring file .*not|ring/],
  },
  {
    name: 'a missing ring file',
    plant: 'mv /var/lib/kleidi/ring.json /var/aside/',
    fix: 'mv /var/aside/ring.json /var/lib/kleidi/',
    says: [/ring file .* does not exist/],
  },
];

await onHosts(async () => {
  const host = await installedHost();
  const endClient = keepWaiting(host);

  for (const fault of faults) {
    test(fault.name, (t) => sufferAndMend(host, fault, t));
  }

  test('a token folder that is full or read-only: it serves on, and the command says why it cannot write', async () => {
    host.sh(`systemctl stop kleidi.service; cp -a /var/lib/kleidi/tokens /var/aside/copy
      mount -t tmpfs -o size=64k,uid=$(id -u kleidi-token),gid=$(id -g kleidi),mode=0750 full /var/lib/kleidi/tokens
      cp -a /var/aside/copy/. /var/lib/kleidi/tokens/; head -c 100000 /dev/zero > /var/lib/kleidi/tokens/fill 2>/dev/null
      systemctl start kleidi.service`);
    await host.until('kleidi status');
    const full = host.try('kleidi key create');
    assert.equal(full.exitCode, 1, full.stderr);
    assert.match(full.stderr, /^kleidi: hint: .*(space|full|read-only)/m);
    assert.match(full.stderr, /^kleidi: error: /m);
    host.sh('rm /var/lib/kleidi/tokens/fill; mount -o remount,ro /var/lib/kleidi/tokens');
    const readOnly = host.try('kleidi key create');
    assert.equal(readOnly.exitCode, 1, readOnly.stderr);
    host.sh('systemctl restart kleidi.service');
    await host.until('kleidi status');
    host.sh(
      'systemctl stop kleidi.service; umount /var/lib/kleidi/tokens; systemctl start kleidi.service',
    );
    await host.until('kleidi status');
  });

  test('a daemon that dies before it serves, however slowly, is started in no loop, and serves once it is fixed', async () => {
    host.sh(
      'mv /usr/lib/kleidi/kleidi.js /var/aside/; echo "setTimeout(() => process.kill(process.pid, 9), 1500)" > /usr/lib/kleidi/kleidi.js',
    );
    const since = host.sh('date +%s.%N');
    host.sh('systemctl restart --no-block kleidi.service');
    const told = /error: the daemon ended 4 times, each right after its start/;
    const journal = await until(host, since, (entries) => {
      const at = entries.findIndex(({ text }) => told.test(text));
      return at >= 0 && startsIn(entries.slice(at)).length >= 2;
    });
    const at = journal.findIndex(({ text }) => told.test(text));
    requireApart(startsIn(journal.slice(at)));
    assert.equal(host.sh('systemctl is-active kleidi.socket'), 'active');
    host.sh('mv /var/aside/kleidi.js /usr/lib/kleidi/kleidi.js');
    await host.until('kleidi status');
  });

  test('the client that waited was never refused', () => {
    endClient();
    assert.doesNotMatch(host.journal('kleidi.socket'), /limit|failed/i);
  });
});
