// What the daemon can do from inside its sandbox: nothing that it need not. The
// probe runs as the service does, with every directive of its unit.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { clientOf, installedHost } from '../support/installed.ts';
import type { Probed } from '../support/sandboxprobe.ts';
import { writeUnit } from '../support/sandboxunit.ts';
import { onHosts, type Suite, type SystemHost } from '../support/systemhost.ts';

const probeFile = fileURLToPath(new URL('../support/sandboxprobe.ts', import.meta.url));

/** Sockets that anybody may use on the host: none of them inside. `@`: an abstract name. */
const planted = ['/run/planted/any', '/run/systemd/resolve/any', '/var/lib/sss/pipes/nss', '@any'];
const others = [
  '/run/dbus/system_bus_socket',
  '/run/systemd/private',
  '/run/systemd/journal/io.systemd.journal',
  '/run/ssh-unix-local/socket',
  '/run/kleidi/kms.sock',
];

/** Kills each process that it may and that has begun after the one of its argument. */
const killer = `
const first = Number(process.argv[2]) + 1;
// kill(2) takes the number of a thread too.
const own = new Set(require('node:fs').readdirSync('/proc/self/task').map(Number));
const round = () => {
  for (let pid = first; pid < first + 4000; pid += 1) {
    if (!own.has(pid)) try { process.kill(pid, 'SIGKILL'); } catch {}
  }
  setImmediate(round);
};
round();
`;

/** Listens where `planted` says, until the test file ends. */
async function plantSockets(host: SystemHost): Promise<void> {
  const listen = `for (const path of ${JSON.stringify(planted)})
    require('node:net').createServer().listen({ path: path.replace('@', '\0'), writableAll: true })`;
  for (const path of planted) if (path.startsWith('/')) host.sh(`mkdir -p $(dirname ${path})`);
  host.write('/var/aside/listen.cjs', listen);
  const listener = host.spawn('exec /usr/lib/kleidi/bin/node /var/aside/listen.cjs');
  after(() => listener.kill());
  await host.until(
    planted
      .slice(0, 3)
      .map((path) => `test -S ${path}`)
      .join(' && '),
  );
}

async function probedHost(suite: Suite) {
  const host = await installedHost({ suite });
  await host.until('kleidi status');
  await plantSockets(host);
  return { suite, host, probed: probe(host) };
}

function probe(host: SystemHost): Probed {
  host.write('/usr/lib/kleidi/probe.mts', readFileSync(probeFile));
  const args = `/usr/lib/kleidi/probe.mts ${[...planted, ...others].join(' ')}`;
  writeUnit(host, 'kleidi-probe', 'oneshot', args);
  host.sh('mkdir -p /etc/kubernetes; systemctl start kleidi-probe');
  const journal = host.sh('journalctl -u kleidi-probe -b -o cat --no-pager');
  const line = journal.split('\n').find((each) => each.startsWith('{'));
  assert.ok(line !== undefined, journal);
  return JSON.parse(line) as Probed;
}

await onHosts(async () => {
  const subjects = [await probedHost('bookworm'), await probedHost('trixie')] as const;

  for (const { suite, host, probed } of subjects) {
    const on = (name: string): string => `${suite}: ${name}`;

    test(on('no network, no shell, no capability, no file of others'), () => {
      assert.deepEqual(probed.tried, {
        'write token folder': 'EROFS',
        'write ring': 'EROFS',
        'write configuration': 'EROFS',
        'write program': 'EROFS',
        'write a new library': 'EROFS',
        'read bundles': 'EACCES',
        'read the cluster keys': 'EACCES',
        'read root': 'EACCES',
        'read SO PIN': 'EACCES',
        'read the host key': 'EACCES',
        'see the first process': 'ENOENT',
        shell: 'EACCES',
        inet: 'EAFNOSUPPORT',
      });
      assert.equal(probed.capabilities, '0000000000000000');
    });

    test(on('no process but its own is seen'), () => assert.equal(probed.processes, 1));

    test(on('it can kill no work of a command on the token'), async () => {
      host.write('/usr/lib/kleidi/killer.cjs', killer);
      const last = host.sh('echo $$');
      writeUnit(host, 'kleidi-killer', 'exec', `/usr/lib/kleidi/killer.cjs ${last}`);
      host.sh('systemd-run --quiet --uid=kleidi --unit=victim sleep 600');
      host.sh('systemctl start kleidi-killer');
      await host.until('! systemctl is-active victim');
      try {
        // None of these waits for the daemon, which does not live long now.
        for (const command of ['key list', 'key request', 'key list', 'doctor --only token'])
          host.sh(`kleidi ${command} </dev/null`);
        assert.equal(host.sh('systemctl is-active kleidi-killer'), 'active');
      } finally {
        host.sh('systemctl stop kleidi-killer');
      }
      await host.until('kleidi status');
    });

    test(on('of all sockets only those of journal and notify are there, and its own'), () => {
      assert.deepEqual(probed.sockets, [
        '/run/kleidi-daemon/metrics/metrics.sock',
        '/run/systemd/journal/socket',
        '/run/systemd/journal/stdout',
        '/run/systemd/notify',
      ]);
      for (const path of [...planted, ...others]) {
        assert.match(probed.reached[path] ?? '', /^(?:ENOENT|EACCES|ECONNREFUSED)$/, path);
      }
    });

    test(on('nothing can be written but its own folder, and that holds 1 MiB'), () => {
      assert.deepEqual(probed.writable, ['/run/kleidi-daemon', '/run/kleidi-daemon/metrics']);
      assert.ok(probed.folderBytes > 0 && probed.folderBytes <= 1 << 20, `${probed.folderBytes}`);
      assert.ok(probed.folderFiles > 0 && probed.folderFiles < 64, `${probed.folderFiles}`);
    });

    test(on('mounts are read-only, but for its own folder and what the kernel makes'), () => {
      for (const point of ['/', '/usr/lib', '/run', '/tmp', '/var/tmp', '/dev', '/dev/shm'])
        assert.equal(probed.mounts[point], 'ro', point);
      for (const point of ['/usr/lib/kleidi', '/run/lock'])
        assert.ok(!(point in probed.mounts), point);
      const open = Object.keys(probed.mounts).filter((point) => probed.mounts[point] === 'rw');
      assert.deepEqual(
        open.filter((point) => !/^\/sys\/fs\/cgroup\/.*\/memory\.pressure$/.test(point)).sort(),
        ['/dev/hugepages', '/dev/mqueue', '/dev/pts', '/proc', '/run/kleidi-daemon'],
      );
    });

    test(on('the exposure is 0.2, and no mount is required'), (t) => {
      const line = /exposure level for kleidi.service: ([0-9.]+)/.exec(
        host.sh('systemd-analyze security kleidi --no-pager'),
      );
      assert.ok(Number(line?.[1]) <= 0.2, line?.[0]);
      const required = host.sh('systemctl show -P RequiresMountsFor kleidi');
      // PrivateTmp= in systemd before 256; startloops-252.test.ts has what comes of it.
      assert.equal(required, suite === 'bookworm' ? '/var/tmp' : '');
      t.diagnostic(line?.[0] ?? '');
    });
  }

  const { host } = subjects[0];

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
    // It comes with the libraries of a TPM.
    host.sh('groupadd --force --system tss');
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
      /--max-old-space-size=256 --jitless/,
    );
  });
});
