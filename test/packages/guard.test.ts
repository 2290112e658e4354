// The guard of a removal: every way in which an API server of this host can name
// kleidi refuses it, and nothing else does.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  config,
  type Files,
  flag,
  manifest,
  naming,
  other,
  refused,
  unit,
} from '../support/removalcases.ts';
import { ScriptHost } from '../support/scripthost.ts';

function removal(
  files: Files,
  env: NodeJS.ProcessEnv = {},
  args: readonly string[] = ['remove'],
  shell = 'sh',
) {
  const host = new ScriptHost(shell);
  for (const [path, text] of Object.entries(files)) host.write(path, text);
  return host.run('before-remove', args, env);
}

for (const [name, files] of Object.entries(refused)) {
  test(`refused: ${name}`, () => {
    for (const shell of ['sh', 'bash']) {
      const { exitCode, stderr, calls } = removal(files, {}, ['remove'], shell);
      assert.equal(exitCode, 1, stderr);
      assert.deepEqual(calls.filter(isChange), [], 'nothing is stopped');
      const source = Object.keys(files).findLast((path) => !/enc\.yaml$/.test(path)) ?? '';
      assert.ok(stderr.includes(source.replace(/^proc\/(\d+)\/.*/, 'process $1')), stderr);
      assert.match(stderr, /kleidi apiserver disable.*KLEIDI_FORCE_REMOVE=yes/);
      assert.doesNotMatch(stderr, /: line|not found|syntax/);
    }
  });
}

function isChange(call: string): boolean {
  return !/^(systemctl is-active --quiet kleidi\.service|kleidi status --json)$/.test(call);
}

const allowed: Readonly<Record<string, Files>> = {
  'an empty host': {},
  'an API server without the flag': { [manifest]: '- kube-apiserver\n- --v=2\n' },
  'only the flag for automatic reload': { [manifest]: `- ${flag}-automatic-reload=true\n` },
  'a flag that is commented out': { [manifest]: `  # - ${flag}=${config}\n` },
  'another provider': {
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\n`,
    'etc/kubernetes/enc.yaml': other,
  },
  "kleidi's file, after disable": { [manifest]: `- ${flag}=${config}\n`, [config.slice(1)]: other },
  'a copy that nothing reads': {
    'etc/kubernetes/kleidi/backup/kube-apiserver.yaml': `- ${flag}=${config}\n`,
    'etc/rancher/rke2/config.yaml.old': `x: encryption-provider-config=${config}\n`,
    'etc/kubernetes/manifests/.kube-apiserver.yaml.swp': `- ${flag}=${config}\n`,
  },
  'the file alone, which no API server is told of': { [config.slice(1)]: naming },
  'another provider beside the folder of kleidi': {
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\nhostPath: { path: /run/kleidi }\n`,
    'etc/kubernetes/enc.yaml': other,
  },
  'another provider under another path in the pod': {
    [manifest]: `- ${flag}=/k/enc.yaml\n- hostPath: { path: /srv/kms }\n- hostPath: { path: /run/kleidi }\n`,
    'srv/kms/enc.yaml': other,
  },
  'another provider, and a file of kleidi under the same name in another folder of the pod': {
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\n- mountPath: /etc/kubernetes/\n- mountPath: /k\n- hostPath: { path: /etc/kubernetes }\n- hostPath: { path: /srv/kms }\n`,
    'srv/kms/enc.yaml': naming,
    'etc/kubernetes/enc.yaml': other,
  },
  'a path in the pod that nothing tells of': { [manifest]: `- ${flag}=/k/enc.yaml\n` },
  'another provider, path with a blank': {
    [unit]: `ExecStart=/a "${flag}=/etc/my cluster/enc.yaml" --log-file=/var/log/kleidi/x\n`,
    'etc/my cluster/enc.yaml': other,
  },
  'a provider that is commented out': {
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\n`,
    'etc/kubernetes/enc.yaml': `# was: endpoint: unix:///run/kleidi/kms.sock\n${other}`,
  },
  'lines that are commented out, all over': {
    [unit]: `#EnvironmentFile=/srv/a.env\n;ExecStart=/a ${flag}=${config}\nExecStart=/opt/run\n`,
    'srv/a.env': `ARGS=${flag}=${config}\n`,
    'opt/run': `#!/bin/sh\n# ${flag}=${config}\nexec kube-apiserver\n`,
    'var/lib/kubelet/config.yaml': '# staticPodPath: /srv/pods\n',
    'srv/pods/api.yaml': `- ${flag}=${config}\n`,
    'etc/k0s/k0s.yaml': `      # encryption-provider-config: ${config}\n`,
  },
  'what editors and package managers have put aside': {
    'etc/default/kube-apiserver.dpkg-old': `ARGS=${flag}=${config}\n`,
    'etc/default/kube-apiserver~': `ARGS=${flag}=${config}\n`,
    'etc/sysconfig/kube-apiserver.rpmsave': `ARGS=${flag}=${config}\n`,
    'etc/kubernetes/apiserver.bak': `ARGS=${flag}=${config}\n`,
    'etc/k0s/k0s.yaml.bak': `encryption-provider-config: ${config}\n`,
    'var/snap/microk8s/1234/args/kube-apiserver': `${flag}=${config}\n`,
  },
  'flags of other names': {
    [manifest]: `- --no-encryption-provider-config=${config}\n- ${flag}s=${config}\n- --my${flag}=${config}\n`,
  },
  'a program that knows the flag, and our own': {
    [unit]: 'ExecStart=/usr/bin/kube-apiserver\nExecStartPre=/usr/lib/kleidi/kleidi.js\n',
    'usr/bin/kube-apiserver': `\x7fELF\0${flag}=${config}\0`,
    'usr/lib/kleidi/kleidi.js': `${flag}=${config}\n`,
  },
  'a process of another provider': {
    'proc/42/cmdline': `kube-apiserver\0${flag}=/enc.yaml\0`,
    [`proc/42/${'root'}/enc.yaml`]: other,
  },
  'a process that is gone': { 'proc/43/stat': '' },
};

for (const [name, files] of Object.entries(allowed)) {
  test(`not refused: ${name}`, () => {
    const { exitCode, stderr, calls } = removal(files);
    assert.equal(exitCode, 0, stderr);
    assert.ok(
      calls.includes(
        'systemctl stop kleidi-metrics.socket kleidi-metrics.service kleidi.socket kleidi.service',
      ),
    );
  });
}

/** A host whose daemon answers `kleidi status --json` so. */
function withState(state: object, files: Files = {}, exitStatus = 0) {
  const host = new ScriptHost();
  for (const [path, text] of Object.entries(files)) host.write(path, text);
  host.tool('kleidi', exitStatus, `echo '${JSON.stringify(state)}'`);
  return host;
}

const minutesAgo = (minutes: number): number => Date.now() - minutes * 60_000;
const restartHint =
  /kleidi apiserver disable.*restart.*systemctl restart kleidi.*two minutes.*KLEIDI_FORCE_REMOVE=yes/;

for (const [name, files, record] of [
  ['', {}, '/var/lib/kleidi/apiserver/record.json'],
  [
    ', beside a ring elsewhere',
    { 'etc/kleidi/kleidi.yaml': 'ring: "/srv/my keys/ring.json" # moved\n' },
    '/srv/my keys/apiserver/record.json',
  ],
] as const) {
  test(`refused: the record of kleidi apiserver enable${name}`, () => {
    const { exitCode, stderr, calls } = removal({ ...files, [record.slice(1)]: '{}' });
    assert.equal(exitCode, 1, stderr);
    assert.ok(stderr.includes(record), stderr);
    assert.match(stderr, /kleidi apiserver disable.*KLEIDI_FORCE_REMOVE=yes/);
    assert.deepEqual(calls.filter(isChange), []);
  });
}

test('refused: a client that called within the last hour, also of a daemon that is not well', () => {
  for (const exitStatus of [0, 1]) {
    const state = { notices: ['x'], clients: 0, lastCallUnixMs: minutesAgo(55) };
    const { exitCode, stderr, calls } = withState(state, {}, exitStatus).run('before-remove', [
      'remove',
    ]);
    assert.equal(exitCode, 1, stderr);
    assert.match(stderr, /a client called it 5\d minutes ago/);
    assert.match(stderr, restartHint);
    assert.deepEqual(calls.filter(isChange), []);
  }
});

test('refused: a client that is connected now', () => {
  const host = withState({ clients: 2, lastCallUnixMs: minutesAgo(1) });
  const { exitCode, stderr } = host.run('before-remove', ['0']);
  assert.equal(exitCode, 1, stderr);
  assert.match(stderr, /clients connected that call it: 2/);
  assert.match(stderr, restartHint);
});

test('not refused: a last call over an hour ago, none, or a daemon that tells of none', () => {
  for (const lastCallUnixMs of [minutesAgo(65), 0, undefined]) {
    const host = withState({ clients: 0, lastCallUnixMs });
    const { exitCode, stderr } = host.run('before-remove', ['remove']);
    assert.equal(exitCode, 0, stderr);
  }
});

const off = (sinceUnixMs: number): Files => ({
  'var/lib/kleidi/apiserver/phase.json': JSON.stringify({ phase: 'off', sinceUnixMs }, null, 2),
});

test('not refused: calls of before kleidi apiserver disable; but whoever is connected still', () => {
  const called = { clients: 0, lastCallUnixMs: minutesAgo(2) };
  const run = (state: object, files: Files) =>
    withState(state, files).run('before-remove', ['remove']).exitCode;
  assert.equal(run(called, off(minutesAgo(3))), 0);
  assert.equal(run({ ...called, clients: 1 }, off(minutesAgo(3))), 1);
  assert.equal(run(called, off(minutesAgo(65))), 1, 'it was disabled long before these');
  const read = Object.entries(off(minutesAgo(3))).map(([path, text]) => [
    path,
    text.replace('off', 'read'),
  ]);
  assert.equal(run(called, Object.fromEntries(read)), 1);
});

test('a daemon that is stopped is not asked, one that hangs or a program that is gone does not refuse', () => {
  const stopped = withState({ clients: 1 });
  stopped.tool('systemctl', 0, '[ "$1" != is-active ] || exit 3');
  const { exitCode, calls } = stopped.run('before-remove', ['remove']);
  assert.equal(exitCode, 0);
  assert.ok(!calls.some((call) => call.startsWith('kleidi')), 'it would be started');

  const image = withState({ clients: 1 });
  image.write('proc/1/comm', 'sh\n');
  const inImage = image.run('before-remove', ['remove']);
  assert.equal(inImage.exitCode, 0, inImage.stderr);
  assert.ok(!inImage.calls.some((call) => call.startsWith('kleidi')), "it is another host's");

  const hung = new ScriptHost();
  hung.tool('timeout', 124);
  const after = hung.run('before-remove', ['remove']);
  assert.equal(after.exitCode, 0, after.stderr);
  assert.ok(after.calls.includes('timeout -k 1 5 kleidi status --json'));

  const broken = new ScriptHost();
  broken.tool('kleidi', 127, 'echo "no such file"');
  assert.equal(broken.run('before-remove', ['remove']).exitCode, 0);
  broken.forget('kleidi');
  assert.equal(broken.run('before-remove', ['remove']).exitCode, 0);
});

const inUse: Files = { [unit]: `ExecStart=/a ${flag}=${config}\n` };

test('rpm asks the same', () => {
  assert.equal(removal(inUse, {}, ['0']).exitCode, 1);
});

test('KLEIDI_FORCE_REMOVE=yes removes it all the same, no other value does', () => {
  assert.equal(removal(inUse, { KLEIDI_FORCE_REMOVE: 'yes' }).exitCode, 0);
  assert.equal(removal(inUse, { KLEIDI_FORCE_REMOVE: '1' }).exitCode, 1);
});

test('an upgrade is never refused', () => {
  for (const args of [['upgrade', '2.0.0'], ['1']]) {
    assert.equal(removal(inUse, {}, args).exitCode, 0);
  }
});

test('a real process is found, and the search does not find itself', async () => {
  const child = spawn('sh', ['-c', 'read line', 'kube-apiserver', `${flag}=/none/kleidi/enc.yaml`]);
  after(() => child.kill());
  const parts = ['flags', 'starts', 'guard'].map((part) =>
    readFileSync(new URL(`../../packaging/scripts/${part}.sh`, import.meta.url), 'utf8'),
  );
  const script = `root=\n${parts.join('\n')}\nprocesses_naming_kleidi\n`;
  const { stdout } = spawnSync('sh', ['-euc', script], { encoding: 'utf8' });
  assert.match(stdout, new RegExp(`running process ${child.pid} \\(/none/kleidi/enc.yaml\\)`));
  for (const [, pid = ''] of stdout.matchAll(/running process (\d+)/g)) {
    assert.doesNotMatch(pid === '' ? '' : readCommand(pid), /^(sh|grep)\0-(euc|ls)/);
  }
});

function readCommand(pid: string): string {
  try {
    return readFileSync(join('/proc', pid, 'cmdline'), 'utf8');
  } catch {
    return '';
  }
}
