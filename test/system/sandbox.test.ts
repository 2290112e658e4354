// What the daemon can do from inside its sandbox: nothing that it need not. The
// probe runs as the service does, with every directive of its unit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientOf, installedHost } from '../support/installed.ts';
import { onHosts } from '../support/systemhost.ts';

const probe = `
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { spawnSync } from 'node:child_process';
const tried = {};
const attempt = (name, what) => { try { what(); tried[name] = 'done'; } catch (e) { tried[name] = e.code ?? String(e); } };
attempt('write token folder', () => writeFileSync('/var/lib/kleidi/tokens/x', ''));
attempt('write ring', () => writeFileSync('/var/lib/kleidi/ring.json', ''));
attempt('write configuration', () => writeFileSync('/etc/kleidi/kleidi.yaml', ''));
attempt('write program', () => writeFileSync('/usr/lib/kleidi/kleidi.js', ''));
attempt('read bundles', () => readdirSync('/var/lib/kleidi/bundles'));
attempt('read the cluster keys', () => readdirSync('/etc/kubernetes'));
attempt('read root', () => readdirSync('/root'));
attempt('read SO PIN', () => readFileSync('/etc/kleidi/credentials/so-pin.cred'));
tried.processes = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).length;
tried.shell = spawnSync('/bin/sh', ['-c', 'true']).error?.code ?? 'done';
tried.capabilities = /CapBnd:\\s*(\\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1];
const server = createServer().on('error', (e) => { tried.inet = e.code; console.log(JSON.stringify(tried)); })
  .listen(0, '127.0.0.1', () => { tried.inet = 'done'; console.log(JSON.stringify(tried)); server.close(); });
`;

await onHosts(async () => {
  const host = await installedHost();

  test('from inside, nothing can be written, reached or seen that is not needed', () => {
    host.sh('mkdir -p /etc/kubernetes');
    host.write('/usr/lib/kleidi/probe.mjs', probe);
    host.write(
      '/run/systemd/system/kleidi-probe.service',
      host
        .read('/usr/lib/systemd/system/kleidi.service')
        .replace('Type=notify', 'Type=oneshot')
        .replace(
          /^Requires=.*|^After=kleidi.*|^ExecStopPost=.*|^Restart.*=.*|^WatchdogS.*=.*|^\[Install\][\s\S]*/gm,
          '',
        )
        .replace(/^RuntimeDirectory=.*/m, 'RuntimeDirectory=kleidi-probe')
        .replace(/^ExecStart=.*/m, 'ExecStart=/usr/lib/kleidi/bin/node /usr/lib/kleidi/probe.mjs'),
    );
    host.sh('systemctl daemon-reload; systemctl start kleidi-probe');
    const line = host
      .sh('journalctl -u kleidi-probe -b -o cat --no-pager')
      .split('\n')
      .find((each) => each.startsWith('{'));
    const { processes, ...tried } = JSON.parse(line ?? '{}');
    assert.equal(processes, 1);
    assert.deepEqual(tried, {
      'write token folder': 'EROFS',
      'write ring': 'EROFS',
      'write configuration': 'EROFS',
      'write program': 'EACCES',
      'read bundles': 'EACCES',
      'read the cluster keys': 'EACCES',
      'read root': 'EACCES',
      'read SO PIN': 'EACCES',
      shell: 'EACCES',
      capabilities: '0000000000000000',
      inet: 'EAFNOSUPPORT',
    });
  });

  test('the running daemon has the limits of its unit', () => {
    const pid = host.sh('systemctl show -p MainPID --value kleidi');
    const status = host.read(`/proc/${pid}/status`);
    assert.match(status, /^CapEff:\s*0+$/m);
    assert.match(status, /^NoNewPrivs:\s*1$/m);
    assert.match(status, /^Seccomp:\s*2$/m);
    assert.match(host.read(`/proc/${pid}/limits`), /^Max core file size\s+0\s+0/m);
    // The kernel of the test machine may not let a container lower it.
    assert.equal(host.sh('systemctl show -p OOMScoreAdjust --value kleidi'), '-997');
  });

  test('what the environment could bring in reaches neither daemon nor commands', async () => {
    const strange = [
      'NODE_OPTIONS=--no-such-option',
      'NODE_TLS_REJECT_UNAUTHORIZED=0',
      'NODE_EXTRA_CA_CERTS=/etc/passwd',
      'SSL_CERT_FILE=/etc/passwd',
      'OPENSSL_CONF=/etc/passwd',
      'LD_LIBRARY_PATH=/tmp',
    ];
    const names = strange.map((each) => each.split('=')[0]);
    host.sh(`systemctl set-environment ${strange.join(' ')}; systemctl restart kleidi`);
    await host.until('kleidi status');
    const pid = host.sh('systemctl show -p MainPID --value kleidi');
    const daemon = host.sh(`tr '\\0' '\\n' < /proc/${pid}/environ`);
    host.sh(`systemctl unset-environment ${names.join(' ')}`);
    // The command itself, by its own exec: what it gets, and its limits.
    const serve = 'kleidi serve --socket /tmp/probe.sock';
    host.sh(`${strange.join(' ')} setsid ${serve} >/tmp/probe.log 2>&1 & sleep 0.1`);
    const found = `pgrep -f '^/usr/lib/kleidi/bin/node .*--socket /tmp/probe.sock'`;
    await host.until(`${found} && test -S /tmp/probe.sock`);
    const command = host.sh(`tr '\\0' '\\n' < /proc/$(${found})/environ`);
    const limits = host.sh(`cat /proc/$(${found})/limits /proc/$(${found})/coredump_filter`);
    host.sh(`kill $(${found})`);
    for (const [who, environment] of Object.entries({ daemon, command })) {
      for (const name of names) {
        assert.ok(
          !environment.split('\n').some((line) => line.startsWith(`${name}=`)),
          `${who}: ${name}`,
        );
      }
    }
    assert.match(limits, /^Max core file size\s+0\s+0/m);
    assert.match(limits, /^0+$/m);
  });

  test('every drop-in is valid, and the daemon serves under jitless', async () => {
    for (const name of host.sh('ls /usr/lib/kleidi/drop-ins').split('\n')) {
      const target = '/etc/systemd/system/kleidi.service.d/test.conf';
      host.sh(`install -Dm644 /usr/lib/kleidi/drop-ins/${name} ${target}; systemctl daemon-reload`);
      assert.equal(
        host.sh('systemd-analyze verify --man=no /usr/lib/systemd/system/kleidi.service 2>&1'),
        '',
        name,
      );
      host.sh('systemctl restart kleidi');
      await host.until('kleidi status');
    }
    host.sh(
      'install -Dm644 /usr/lib/kleidi/drop-ins/jitless.conf /etc/systemd/system/kleidi.service.d/test.conf; systemctl daemon-reload; systemctl restart kleidi',
    );
    const client = clientOf(host);
    const { ciphertext, keyId } = await client.encrypt(Buffer.alloc(32, 7));
    assert.deepEqual(await client.decrypt(ciphertext, keyId), Buffer.alloc(32, 7));
    client.close();
    assert.match(
      host.sh('tr "\\\\0" " " < /proc/$(systemctl show -p MainPID --value kleidi)/cmdline'),
      /--jitless/,
    );
  });
});
