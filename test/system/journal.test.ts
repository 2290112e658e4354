// What an operator finds in the journal of a real host: the unit's lines, their
// fields, the catalog; and what doctor says there.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { events } from '../../src/events.ts';
import { clientOf, installedHost } from '../support/installed.ts';
import { onHosts } from '../support/systemhost.ts';

type Entry = Readonly<Record<string, string>>;

await onHosts(async () => {
  const host = await installedHost();
  host.sh('systemctl start kleidi');
  await host.until('kleidi status');
  const { keyId, keyIdHash } = JSON.parse(host.sh('kleidi status --json')) as Entry;

  function entries(...matches: string[]): Entry[] {
    const text = host.sh(`journalctl -b -o json --no-pager ${matches.join(' ')}`);
    return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line) as Entry);
  }

  test('the sandboxed daemon reaches the journal by its native protocol', () => {
    const [serving] = entries('-u kleidi', `MESSAGE_ID=${events.serving.id}`);
    assert.equal(serving?.['_TRANSPORT'], 'journal');
    assert.equal(serving?.['_SYSTEMD_UNIT'], 'kleidi.service');
    assert.equal(serving?.['SYSLOG_IDENTIFIER'], 'kleidi');
    assert.equal(serving?.['PRIORITY'], '6');
    assert.equal(serving?.['KLEIDI_KEY_ID'], keyId);
    assert.equal(entries(`KLEIDI_KEY_ID_HASH=${keyIdHash}`).length, 1);
  });

  test('plain journalctl shows one line an event, and -x what to do', () => {
    const lines = host.journal().split('\n');
    assert.equal(lines.filter((line) => line.startsWith('serving ring=')).length, 1);
    assert.equal(lines.filter((line) => line.startsWith('listening ')).length, 1);
    assert.match(
      host.sh('journalctl -u kleidi -b -x --no-pager'),
      / Subject: kleidi serves ring kleidi, generation 1\n[\s\S]+There is nothing to do\./,
    );
  });

  test('the last words of a process that ends are still those of the unit', async () => {
    host.sh('systemctl restart kleidi');
    await host.until('kleidi status');
    const [stopping] = entries('-u kleidi', `MESSAGE_ID=${events.stopping.id}`);
    assert.equal(stopping?.['KLEIDI_REASON'], 'SIGTERM');
    assert.equal(stopping?.['_SYSTEMD_UNIT'], 'kleidi.service');
  });

  test('with journald stopped, and then gone, calls are answered as before', async () => {
    const client = clientOf(host);
    const sealed = await client.encrypt(Buffer.alloc(32, 1));
    const foreign = `k1.other.1.${'0'.repeat(32)}`;
    const journald = host.sh('systemctl show -p MainPID --value systemd-journald');
    host.sh(`kill -STOP ${journald}`);
    try {
      for (let i = 0; i < 50; i += 1) {
        await assert.rejects(client.decrypt(sealed.ciphertext, foreign), /ring 'other'/);
        assert.equal((await client.status()).healthz, 'ok');
      }
    } finally {
      host.sh(`kill -CONT ${journald}`);
    }
    host.sh('systemctl restart systemd-journald');
    host.sh('systemctl restart kleidi');
    await host.until('kleidi status');
    await host.until(
      `journalctl -b -u kleidi MESSAGE_ID=${events['call-failed'].id} | grep -q Decrypt`,
    );
    client.close();
  });

  test('a command that changes the host leaves one entry, refused ones too, with who called it', () => {
    const sudo = 'env SUDO_USER=alice';
    host.try(`${sudo} kleidi key promote ${'0'.repeat(32)}`);
    const { fp } = JSON.parse(host.sh(`${sudo} kleidi key create --json`)) as { fp: string };
    host.sh('kleidi ring show; kleidi doctor || :');
    const [refused, created, ...more] = entries('-t kleidi-admin', 'KLEIDI_SUDO_USER=alice');
    assert.deepEqual(more, []);
    assert.equal(refused?.['KLEIDI_COMMAND'], 'kleidi key promote');
    assert.equal(refused['KLEIDI_ERROR_CODE'], 'refused');
    assert.equal(created?.['KLEIDI_KEK'], fp);
    assert.match(created['MESSAGE'] ?? '', /^kleidi key create --json: done /);
    // The installation itself, and nothing that only looks.
    const commands = entries('-t kleidi-admin').map((entry) => entry['KLEIDI_COMMAND']);
    assert.ok(commands.includes('kleidi provision'));
    assert.ok(!commands.some((each) => /show|doctor|status/.test(each ?? '')));
  });

  test('who may not is told so: neither root, nor in kleidi-clients', () => {
    const as = (who: string, command: string) =>
      host.try(`setpriv --reuid=nobody ${who} ${command}`);
    const stranger = as('--clear-groups --regid=nogroup', 'kleidi status');
    assert.notEqual(stranger.exitCode, 0);
    assert.match(stranger.stderr, /as root \(sudo\), or as a member of the group kleidi-clients/);
    const ring = as('--clear-groups --regid=nogroup', 'kleidi ring show');
    assert.match(ring.stderr, /hint: .*run the command as root \(sudo\)/);
    const member = as('--groups=kleidi-clients --regid=nogroup', 'kleidi status');
    assert.equal(member.exitCode, 0, member.stderr);
  });

  test('a damaged host: the journal says what to do, and doctor finds it', async () => {
    const tokens = '/var/lib/kleidi/tokens';
    host.sh(`chown -R root:root ${tokens} && systemctl restart kleidi`);
    await host.until(`journalctl -b -u kleidi MESSAGE_ID=${events['not-serving'].id} | grep -q .`);
    const [failed] = entries('-u kleidi', `MESSAGE_ID=${events['not-serving'].id}`);
    assert.equal(failed?.['PRIORITY'], '3');
    assert.ok((failed['KLEIDI_HINT'] ?? '').length > 10);
    const { exitCode, stdout } = host.try('kleidi doctor');
    assert.equal(exitCode, 1);
    assert.match(stdout, /FAIL/);
    host.sh('systemd-tmpfiles --create kleidi.conf');
    await host.until('kleidi status', 40_000);
    assert.equal(host.try('kleidi doctor').exitCode, 0);
  });

  test('a k3s that was not restarted since phase read does not go to phase write', async () => {
    const vector = new URL('../vectors/apiserver/k3s/config.yaml', import.meta.url);
    host.write('/etc/rancher/k3s/config.yaml', readFileSync(vector));
    const unit = '/etc/systemd/system/k3s.service';
    host.write(unit, '[Service]\nExecStart=/usr/bin/sleep infinity\n');
    host.sh('systemctl daemon-reload && systemctl start k3s && sleep 0.1');
    host.sh('kleidi apiserver enable --phase read');
    const write = 'kleidi apiserver enable --phase write --single-master --accept-no-recovery';
    const status = () =>
      JSON.parse(host.try('kleidi apiserver status --json').stdout) as Record<string, unknown>;
    assert.match(String(status()['restartPending']), /k3s\.service runs since before .*50-kleidi/);
    const refused = host.try(write);
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /is not at phase read[\s\S]*hint: systemctl restart k3s/);
    host.sh('sleep 0.1; systemctl restart k3s');
    assert.equal(status()['restartPending'], null);
    host.sh(write);
    host.sh('kleidi apiserver enable --phase read && kleidi apiserver disable --no-scan');
    host.sh(`systemctl stop k3s; rm -r ${unit} /etc/rancher; systemctl daemon-reload`);
  });

  test('doctor sees a disk that is nearly full', () => {
    const folder = '/var/lib/kleidi';
    host.sh(`cp -a ${folder} /root/state && mount -t tmpfs -o size=4m tmpfs ${folder}`);
    host.sh(`cp -a /root/state/. ${folder}`);
    const { stdout } = host.try('kleidi doctor --only ring');
    host.sh(`umount ${folder} && rm -r /root/state`);
    assert.match(stdout, /warn {2}[0-3] MiB are left for \/var\/lib\/kleidi\n +do: make room/);
    assert.doesNotMatch(host.try('kleidi doctor --only ring').stdout, /are left/);
  });

  test('systemctl names the daemon, and completion the KEKs', () => {
    assert.match(host.sh('systemctl status kleidi --no-pager'), /Main PID: \d+ \(kleidi\)/);
    const { keks } = JSON.parse(host.sh('kleidi ring show --json')) as { keks: { fp: string }[] };
    const complete = (line: string): string =>
      host.sh(
        `bash -c '. /usr/share/bash-completion/completions/kleidi; COMP_WORDS=(${line} ""); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _kleidi; printf "%s\\n" "\${COMPREPLY[@]}"'`,
      );
    for (const line of ['kleidi key promote', 'kleidi key destroy', 'kleidi join --undo'])
      assert.deepEqual(complete(line).split('\n').sort(), keks.map(({ fp }) => fp).sort(), line);
    assert.doesNotMatch(complete('kleidi key list --config'), /[0-9a-f]{32}/);
  });

  test('doctor sees what systemd knows of the units', () => {
    host.sh('systemctl disable kleidi.socket && systemctl mask --runtime --now kleidi.service');
    const { exitCode, stdout } = host.try('kleidi doctor --only unit');
    assert.equal(exitCode, 1);
    assert.match(
      stdout,
      /FAIL {2}kleidi\.socket is disabled.*\n +do: systemctl enable kleidi\.socket/,
    );
    assert.match(stdout, /FAIL {2}kleidi\.service is masked\n +do: systemctl unmask/);
    host.sh('systemctl unmask --runtime kleidi.service && systemctl enable kleidi.socket');
    host.sh('systemctl start kleidi.socket kleidi.service');
    host.sh('touch -d "+1 day" /usr/lib/systemd/system/kleidi.service');
    assert.match(host.try('kleidi doctor --only unit').stdout, /older file of kleidi\.service/);
  });
});
