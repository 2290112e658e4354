// What other users of a host with the package can do to root, and what keeps root
// from taking the package away: a hostile PKCS#11 module under root's terminal, files
// that are none in the folders of others, and API servers that name kleidi.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../support/folder.ts';
import { clientOf, forgetCallers, installedHost } from '../support/installed.ts';
import { config, flag, refused } from '../support/removalcases.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';
import { commandAtTerminal } from '../support/terminal.ts';

const source = fileURLToPath(new URL('../support/probemodule.c', import.meta.url));
const aside = '/var/aside';
const seed = Buffer.alloc(32, 4);
const tokens = '/var/lib/kleidi/tokens';
const daemonFolder = '/run/kleidi-daemon';

/** The module, which is loaded where the configuration hostile.yaml is used. */
function plantModule(host: SystemHost): void {
  const built = join(temporaryFolder(), 'hostile.so');
  execFileSync('cc', ['-shared', '-fPIC', '-o', built, source]);
  host.write(`${aside}/hostile.so`, readFileSync(built));
  host.sh(`install -d -m 1777 ${aside}/out`);
  const settings = `pkcs11:\n  module: ${aside}/hostile.so\n  environment: [KLEIDI_PROBE_OUT]\n`;
  host.write(`${aside}/hostile.yaml`, settings);
}

/** What the module has found in a process of this command, which root starts at a terminal. */
async function probed(host: SystemHost, name: string, command: string): Promise<string[]> {
  const out = `${aside}/out/${name}`;
  const variables = `KLEIDI_PROBE_OUT=${out} KLEIDI_PROBE_SECRET=mine SSH_AUTH_SOCK=/x`;
  const shell = ['sh', '-c', `env ${variables} ${command}`];
  await commandAtTerminal([], 'nsenter', ...host.enter(), ...shell);
  return host.read(out).split('\n');
}

/** As this user, with the daemon's group, by a shell. */
function as(user: string, command: string): string {
  return `setpriv --reuid ${user} --regid kleidi --clear-groups sh -c '${command}'`;
}

/** Runs it with all that it opens looked at. @returns what it printed */
function untouched(host: SystemHost, command: string): string {
  const trace = `strace -qq -f -y -e trace=open,openat,execve -o ${aside}/opened`;
  const { exitCode, stdout, stderr } = host.try(`timeout -k 1 60 ${trace} ${command} </dev/null`);
  assert.notEqual(exitCode, 124, `${command} waits for ever`);
  const opened = host.read(`${aside}/opened`);
  assert.match(opened, /\)\s+= \d+<\/etc\/kleidi\/kleidi\.yaml>/, 'the trace works');
  assert.doesNotMatch(opened, /\)\s+= \d+<(?:\/etc\/shadow|\/dev\/zero|\/home[/>])/, command);
  return stdout + stderr;
}

const commands = ['status', 'doctor', 'key list', `backup --out ${aside}/backup.json`];

await onHosts(async () => {
  const host = await installedHost();
  await host.until('kleidi status');
  plantModule(host);

  test('root at a terminal: without us the module has it, and types', async () => {
    const found = await probed(host, 'control', `LD_PRELOAD=${aside}/hostile.so true`);
    for (const line of [
      'terminal=there',
      'terminal at 0',
      'user=0',
      'env KLEIDI_PROBE_SECRET=mine',
    ])
      assert.ok(found.includes(line), `${line}: ${found.join('\n')}`);
    // The kernel may forbid it to all: then there is nothing to see below either.
    if (host.read('/proc/sys/dev/tty/legacy_tiocsti') === '1')
      assert.ok(found.includes('typed=yes'), found.join('\n'));
  });

  for (const command of ['key list', 'key create', 'key request', 'doctor --only token']) {
    test(`root at a terminal: kleidi ${command} gives a module none, nor anything of root's`, async () => {
      const name = command.replaceAll(' ', '-');
      const found = await probed(host, name, `kleidi ${command} --config ${aside}/hostile.yaml`);
      const user = host.sh('id -u kleidi-token');
      for (const line of ['terminal=none', 'typed=no', 'leads=yes', `user=${user}`])
        assert.ok(found.includes(line), `${line}: ${found.join('\n')}`);
      assert.ok(!found.some((line) => line.startsWith('terminal at')), found.join('\n'));
      const names = found.flatMap((line) => /^env ([^=]+)=/.exec(line)?.[1] ?? []);
      const given = ['KLEIDI_PROBE_OUT', 'LC_ALL', 'PATH', 'SOFTHSM2_CONF'];
      assert.deepEqual([...new Set(names)].sort(), given);
    });
  }

  test("the token stays its owner's with a new KEK; the daemon takes it up, and can change nothing", async () => {
    const client = clientOf(host);
    const old = await client.encrypt(seed);
    const { fp } = JSON.parse(host.sh('kleidi key create --json')) as { fp: string };
    host.sh(`kleidi key promote ${fp}`);
    const made = host.sh(`find ${tokens} -printf '%y %U:%G %m\\n' | sort -u`);
    const owner = host.sh('echo $(id -u kleidi-token):$(id -g kleidi)');
    assert.equal(made, `d ${owner} 750\nf ${owner} 640`);
    assert.deepEqual(await client.decrypt(old.ciphertext, old.keyId), seed);
    assert.match((await client.encrypt(seed)).keyId, new RegExp(`${fp}$`));
    client.close();
    const all =
      'find /var/lib/kleidi /etc/kleidi /usr/lib/kleidi -writable ! -type l 2>/dev/null || :';
    assert.equal(host.sh(as('kleidi', all)), '');
    const own = host.sh(`find ${tokens} | sort`);
    assert.equal(host.sh(as('kleidi-token', `(${all}) | sort`)), own, 'the token alone');
  });

  test("links, pipes, sockets and devices in the token's folder: none is opened, doctor names them", () => {
    const socket = 'import socket; socket.socket(socket.AF_UNIX).bind(\\"socket\\")';
    host.sh(`cd ${tokens} && ${as('kleidi-token', `ln -s / root; ln -s . again; ln -s /etc/shadow shadow; ln -s /dev/zero zero; mkfifo pipe; ln -s pipe link; python3 -c "${socket}"`)}
      mknod device c 1 5; chown kleidi-token: device; mkdir /home/somebody; ls ${tokens}`);
    const told = commands.map((command) => untouched(host, `kleidi ${command}`));
    host.sh(`find ${tokens} ! -type f ! -type d -delete; rm ${aside}/backup.json`);
    assert.match(told[0] ?? '', /^serving$/m);
    assert.match(
      told[1] ?? '',
      /FAIL {2}8 in \/var\/lib\/kleidi\/tokens are neither files nor folders/,
    );
    assert.match(told[2] ?? '', /HELD BY/);
    assert.match(told[3] ?? '', /backup\.json: ring 'kleidi'/);
  });

  for (const [name, plant] of [
    ['a pipe', 'mkfifo refused-pin'],
    ['a link to a pipe', 'mkfifo pipe; ln -s pipe refused-pin'],
    ['a link to a file of root', 'ln -s /etc/shadow refused-pin'],
    ['a device', 'ln -s /dev/zero refused-pin'],
  ] as const) {
    test(`${name} in the daemon's folder in place of a record: none is waited for or read`, () => {
      host.sh(`cd ${daemonFolder} && ${as('kleidi', plant)}`);
      const told = commands.map((command) => untouched(host, `kleidi ${command}`));
      host.sh(`rm -f ${daemonFolder}/refused-pin ${daemonFolder}/pipe ${aside}/backup.json`);
      assert.match(told[1] ?? '', /0 failed/);
      assert.match(told[2] ?? '', /HELD BY/);
    });
  }

  for (const [file, refusing] of [
    ['ring.json', ['doctor', 'key list', 'backup']],
    ['provision.json', []],
    [`bundles/${'0'.repeat(32)}.json`, ['backup']],
  ] as const) {
    test(`a pipe in place of ${file} is not waited for: what needs the file says so`, async () => {
      const path = `/var/lib/kleidi/${file}`;
      host.sh(`rm -f ${aside}/kept; mv ${path} ${aside}/kept 2>/dev/null || :
        mkfifo -m 640 ${path}; chown root:kleidi ${path}`);
      const told = commands.map((command) => untouched(host, `kleidi ${command}`));
      host.sh(`rm ${path}; mv ${aside}/kept ${path} 2>/dev/null || :; rm -f ${aside}/backup.json`);
      const says = `${path} cannot be read: ${path} is not a regular file`;
      // The daemon's own status says it too, once it has looked: within half a second.
      const found = commands.filter((each, i) => each !== 'status' && told[i]?.includes(says));
      assert.deepEqual(
        found.map((command) => command.replace(/ --out.*/, '')),
        refusing,
      );
      await host.until('kleidi status && kleidi doctor');
    });
  }

  const cases = [
    'a flag with underscores',
    'pods elsewhere, by a drop-in of kubelet',
    'k0s',
    'microk8s',
    'an environment file elsewhere',
    'a wrapper script',
    'a path with a blank in a manifest',
    'another path in the pod, its folder mounted',
    'pods elsewhere, by staticPodPath: /srv/pods # ours',
    'pods elsewhere, by {"kind": "KubeletConfiguration", "staticPodPath": "/srv/pods", "port": 1}',
  ];

  /** The files that the refusal names. */
  function refusal(): string[] {
    const { exitCode, stderr } = host.try('dpkg -r kleidi');
    assert.equal(exitCode, 1, stderr);
    assert.match(stderr, /kleidi apiserver disable.*KLEIDI_FORCE_REMOVE=yes/);
    assert.match(host.sh('dpkg --status kleidi'), /^Status: \w+ ok installed$/m);
    return stderr.split('\n').flatMap((line) => /^ {2}(\S+) /.exec(line)?.[1] ?? []);
  }

  test('dpkg: nobody has called, and no file tells of kleidi', () => forgetCallers(host));

  for (const name of cases) {
    test(`dpkg -r is refused: ${name}`, () => {
      const files = Object.entries(refused[name] ?? {});
      assert.ok(files.length > 0);
      for (const [path, text] of files) host.write(`/${path}`, text, 0o755);
      const [source = ''] = files.findLast(([path]) => !/enc\.yaml$/.test(path)) ?? [];
      const found = refusal();
      for (const [path] of files) host.sh(`rm '/${path}'`);
      assert.deepEqual(found, [`/${source}`]);
    });
  }

  test('apt-get and dpkg are refused: an API server that runs, of which no file tells', async () => {
    const server = host.spawn(
      `exec sh -c 'echo $$; sleep 600; :' kube-apiserver ${flag}=${config}`,
    );
    const pid = await new Promise<string>((resolve) => {
      server.stdout?.once('data', (line: Buffer) => resolve(line.toString().trim()));
    });
    const found = refusal();
    const { exitCode, stderr, stdout } = host.try('apt-get -y remove kleidi');
    host.sh(`kill ${pid}`);
    assert.deepEqual(found, ['running']);
    assert.notEqual(exitCode, 0);
    assert.match(stdout + stderr, new RegExp(`not removed: [^\\n]*\\n {2}running process ${pid} `));
  });

  test('with all of them cleared it goes; the token stays', () => {
    assert.equal(host.sh('systemctl is-active kleidi.service kleidi.socket'), 'active\nactive');
    host.sh('apt-get -y remove kleidi');
    assert.match(host.sh('dpkg --status kleidi'), /^Status: deinstall ok config-files$/m);
    assert.notEqual(host.sh(`ls ${tokens}`), '');
  });
});
