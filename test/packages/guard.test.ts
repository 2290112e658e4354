// The guard of a removal: every way in which an API server of this host can name
// kleidi refuses it, and nothing else does.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ScriptHost } from '../support/scripthost.ts';

type Files = Readonly<Record<string, string>>;

const flag = '--encryption-provider-config';
const config = '/etc/kubernetes/kleidi/encryption-config.yaml';
const naming = 'providers:\n- kms: { name: kleidi, endpoint: "unix:///run/kleidi/kms.sock" }\n';
const other = 'providers:\n- aescbc: {}\n- identity: {}\n';
const unit = 'etc/systemd/system/kube-apiserver.service';
const manifest = 'etc/kubernetes/manifests/kube-apiserver.yaml';

function removal(files: Files, env: NodeJS.ProcessEnv = {}, args: readonly string[] = ['remove']) {
  const host = new ScriptHost();
  for (const [path, text] of Object.entries(files)) host.write(path, text);
  return host.run('before-remove', args, env);
}

const refused: Readonly<Record<string, Files>> = {
  'kubeadm, flag with =': { [manifest]: `  - kube-apiserver\n  - ${flag}=${config}\n` },
  'kubeadm, quoted': { [manifest]: `    - "${flag}=${config}"\n` },
  'kubeadm, flag and value as two items': { [manifest]: `  - ${flag}\n  - ${config}\n` },
  'a manifest in JSON': { [manifest]: `{"command":["kube-apiserver","${flag}=${config}"]}` },
  "kubelet's own staticPodPath": {
    'var/lib/kubelet/config.yaml': 'staticPodPath: /srv/pods\n',
    'srv/pods/api.yaml': `- ${flag}=${config}\n`,
  },
  'RKE2, list': {
    'etc/rancher/rke2/config.yaml': `kube-apiserver-arg: ["encryption-provider-config=${config}"]\n`,
  },
  'RKE2, config.yaml.d': {
    'etc/rancher/rke2/config.yaml.d/50-kms.yaml': `kube-apiserver-arg:\n  - encryption-provider-config=${config}\n`,
  },
  'RKE2, its own manifest': {
    'var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml': `- ${flag}=${config}\n`,
  },
  k3s: {
    'etc/rancher/k3s/config.yaml': `kube-apiserver-arg: 'encryption-provider-config=${config}'\n`,
  },
  'k3s, in the unit': {
    'etc/systemd/system/k3s.service': `ExecStart=/usr/local/bin/k3s server \\\n  '--kube-apiserver-arg=encryption-provider-config=${config}' \\\n`,
  },
  'a plain unit': { [unit]: `ExecStart=/usr/bin/kube-apiserver ${flag}=${config} --v=2\n` },
  'a plain unit, value apart': { [unit]: `ExecStart=/a \\\n  ${flag} ${config} \\\n  --v=2\n` },
  'a drop-in of the unit': {
    'etc/systemd/system/kube-apiserver.service.d/kms.conf': `Environment="ARGS=${flag}=${config}"\n`,
  },
  "the unit's environment file": { 'etc/default/kube-apiserver': `ARGS="${flag}=${config}"\n` },
  'a file elsewhere that names the socket': {
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\n`,
    'etc/kubernetes/enc.yaml': naming,
  },
  'the socket by its old path': {
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\n`,
    'etc/kubernetes/enc.yaml': 'endpoint: unix:///var/run/kleidi/kms.sock\n',
  },
  'another socket, from kleidi.yaml': {
    'etc/kleidi/kleidi.yaml': 'socket: "/srv/kms/own.sock" # moved\n',
    [manifest]: `- ${flag}=/etc/kubernetes/enc.yaml\n`,
    'etc/kubernetes/enc.yaml': 'endpoint: unix:///srv/kms/own.sock\n',
  },
  'a running process': { 'proc/42/cmdline': `kube-apiserver\0${flag}=${config}\0` },
  'a running process with its own root folder': {
    'proc/42/cmdline': `kube-apiserver\0${flag}\0/enc.yaml\0`,
    [`proc/42/${'root'}/enc.yaml`]: naming,
  },
};

for (const [name, files] of Object.entries(refused)) {
  test(`refused: ${name}`, () => {
    const { exitCode, stderr, calls } = removal(files);
    assert.equal(exitCode, 1, stderr);
    assert.deepEqual(calls, [], 'nothing is stopped');
    const source = Object.keys(files).findLast((path) => !/enc\.yaml$/.test(path)) ?? '';
    assert.ok(stderr.includes(source.replace(/^proc\/(\d+)\/.*/, 'process $1')), stderr);
    assert.match(stderr, /kleidi apiserver disable.*KLEIDI_FORCE_REMOVE=yes/);
  });
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
    assert.ok(calls.includes('systemctl stop kleidi.socket kleidi.service'));
  });
}

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
  const guard = fileURLToPath(new URL('../../packaging/scripts/guard.sh', import.meta.url));
  const script = `root=\n${readFileSync(guard, 'utf8')}\nprocesses_naming_kleidi\n`;
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
