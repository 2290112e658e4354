// What `kleidi apiserver` refuses, and that nothing is changed then.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { carryOut } from '../../src/apiserver/change.ts';
import { differenceOf } from '../../src/apiserver/difference.ts';
import { type Apiserver, requireInstallation } from '../../src/apiserver/installation.ts';
import { requireStep } from '../../src/apiserver/phase.ts';
import { planDisable, planEnable } from '../../src/apiserver/plan.ts';
import { ChangeRecord } from '../../src/apiserver/record.ts';
import { KleidiError } from '../../src/errors.ts';
import { temporaryFolder } from '../support/folder.ts';

const manifestPath = '/etc/kubernetes/manifests/kube-apiserver.yaml';
const unit = '/etc/systemd/system/kube-apiserver.service';
const config = '/etc/kubernetes/kleidi/encryption-config.yaml';
const paths = { socket: '/run/kleidi/kms.sock', config };
const found = (root: string): Apiserver => ({ ...requireInstallation(root, undefined), paths });
const manifest = readFileSync('test/vectors/apiserver/kubeadm/manifest.yaml', 'utf8');
const secret = 'c2l4dGVlbiBieXRlcyBub3QgYSBrZXkgYXQgYWxsISE=';

const configuration = (providers: string): string => `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers: ${providers}
`;
const kms = (name: string, socket = '/run/kleidi/kms.sock'): string =>
  `{kms: {apiVersion: v2, name: ${name}, endpoint: "unix://${socket}"}}`;

function hostWith(files: Readonly<Record<string, string>>): string {
  const root = temporaryFolder();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

function filesOf(root: string): Record<string, string> {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).sort();
  const files = names.filter((name) => statSync(join(root, name)).isFile());
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(root, name), 'utf8')]));
}

const refused: readonly (readonly [string, Readonly<Record<string, string>>, RegExp])[] = [
  ['no API server', {}, /no kube-apiserver is found/],
  [
    'two API servers',
    { [manifestPath]: manifest, '/etc/rancher/k3s/config.yaml': '' },
    /more than one/,
  ],
  ['a manifest that is not YAML', { [manifestPath]: 'a: [' }, /is not YAML: line 1/],
  ['a manifest of something else', { [manifestPath]: 'kind: Pod\n' }, /is not the static pod/],
  [
    'another EncryptionConfiguration in use',
    {
      [manifestPath]: manifest.replace(
        '    image:',
        '    - --encryption-provider-config=/etc/enc.yaml\n    image:',
      ),
    },
    /already names an EncryptionConfiguration: \/etc\/enc\.yaml/,
  ],
  [
    'two kms providers of one name',
    { [manifestPath]: manifest, [config]: configuration(`[${kms('a', '/a')}, ${kms('a', '/b')}]`) },
    /two kms providers are named 'a'/,
  ],
  [
    'our socket under another name',
    { [manifestPath]: manifest, [config]: configuration(`[${kms('other')}, {identity: {}}]`) },
    /our socket is configured under the name 'other'/,
  ],
  [
    'our name for another socket',
    {
      [manifestPath]: manifest,
      [config]: configuration(`[${kms('kleidi', '/x')}, {identity: {}}]`),
    },
    /named kleidi has the endpoint/,
  ],
  [
    'a configuration that kube-apiserver would refuse',
    { [manifestPath]: manifest, [config]: `${configuration('[{identity: {}}]')}more: 1\n` },
    /more: unknown field/,
  ],
  ['an empty configuration', { [manifestPath]: manifest, [config]: '' }, /not a list of fields/],
  [
    'a configuration without secrets',
    {
      [manifestPath]: manifest,
      [config]: configuration('[{identity: {}}]').replace('secrets', 'configmaps'),
    },
    /no entry for the resource secrets/,
  ],
  [
    'another file in a drop-in of RKE2',
    {
      '/etc/rancher/rke2/config.yaml.d/1.yaml':
        'kube-apiserver-arg: encryption-provider-config=/x\n',
      '/etc/rancher/rke2/config.yaml': '',
    },
    /already names an EncryptionConfiguration: \/x/,
  ],
  [
    'a drop-in of k3s that would replace ours',
    {
      '/etc/rancher/k3s/config.yaml': '',
      '/etc/rancher/k3s/config.yaml.d/90-audit.yaml': 'kube-apiserver-arg: [audit-log-maxage=1]\n',
    },
    /90-audit\.yaml would replace the kube-apiserver-arg of kleidi/,
  ],
  [
    'a configuration that lacks the key of RKE2',
    {
      '/etc/rancher/rke2/config.yaml': '',
      '/var/lib/rancher/rke2/server/cred/encryption-config.json': readFileSync(
        'test/vectors/apiserver/rke2/encryption-config.json',
        'utf8',
      ),
      [config]: configuration('[{identity: {}}]'),
    },
    /lacks the key of rke2/,
  ],
  [
    'our socket under another name, in another entry',
    {
      [manifestPath]: manifest,
      [config]: `${configuration('[{identity: {}}]')}- resources: [configmaps]\n  providers: [${kms('other')}]\n`,
    },
    /our socket is configured under the name 'other'/,
  ],
  [
    'kleidi as KMS v1',
    {
      [manifestPath]: manifest,
      [config]: configuration(`[${kms('kleidi').replace('v2', 'v1')}, {identity: {}}]`),
    },
    /under the name 'kleidi' \(v1\)/,
  ],
  [
    'secrets under a wildcard',
    {
      [manifestPath]: manifest,
      [config]: configuration('[{identity: {}}]').replace('secrets', "'*.*'"),
    },
    /covers secrets by a wildcard/,
  ],
  [
    'two documents in one manifest',
    { [manifestPath]: `${manifest}---\n${manifest}` },
    /is not YAML: line/,
  ],
  [
    'a flag in two words that names another file',
    {
      [manifestPath]: manifest.replace(
        '    image:',
        '    - --encryption-provider-config\n    - /etc/enc.yaml\n    image:',
      ),
    },
    /already names an EncryptionConfiguration: \/etc\/enc\.yaml/,
  ],
  [
    'a kube-apiserver that is not root',
    {
      [manifestPath]: manifest.replace(
        '  containers:',
        '  securityContext:\n    runAsUser: 2001\n  containers:',
      ),
    },
    /runs as user 2001/,
  ],
  [
    'the configuration mounted as a single file',
    {
      [manifestPath]: manifest.replace(
        '    volumeMounts:\n',
        `    volumeMounts:\n    - mountPath: ${config}\n      name: enc\n`,
      ),
    },
    /mounts .*encryption-config\.yaml as a single file/,
  ],
  [
    'another folder where the socket should be',
    {
      [manifestPath]: manifest
        .replace(
          '    volumeMounts:\n',
          '    volumeMounts:\n    - {mountPath: /run/kleidi/, name: x}\n',
        )
        .replace('  volumes:\n', '  volumes:\n  - {name: x, hostPath: {path: /srv}}\n'),
    },
    /mounts \/srv at \/run\/kleidi/,
  ],
  [
    'our name for another volume',
    {
      [manifestPath]: manifest.replace(
        '  volumes:\n',
        '  volumes:\n  - {name: kleidi-socket, hostPath: {path: /srv}}\n',
      ),
    },
    /has a volume kleidi-socket of another folder/,
  ],
  [
    'a unit that starts a shell',
    { [unit]: '[Service]\nExecStart=/bin/sh -c "exec kube-apiserver"\n' },
    /starts \/bin\/sh, not kube-apiserver itself/,
  ],
  [
    'a unit of another user',
    { [unit]: '[Service]\nUser=kube\nExecStart=/usr/bin/kube-apiserver\n' },
    /runs as user kube/,
  ],
  [
    'a drop-in with a command of its own',
    {
      [unit]: '[Service]\nExecStart=/usr/bin/kube-apiserver\n',
      [`${unit}.d/90-mine.conf`]: '[Service]\nExecStart=\nExecStart=/opt/kube-apiserver\n',
    },
    /90-mine\.conf changes the command/,
  ],
  [
    'another file named in the environment of the unit',
    {
      [unit]:
        '[Service]\nEnvironmentFile=-/etc/kubernetes/apiserver\nExecStart=/usr/bin/kube-apiserver $ARGS\n',
      '/etc/kubernetes/apiserver': 'ARGS="--v=2 --encryption-provider-config=/etc/enc.yaml"\n',
    },
    /\/etc\/kubernetes\/apiserver already names .*: \/etc\/enc\.yaml/,
  ],
  [
    'a unit without a command',
    { '/etc/systemd/system/kube-apiserver.service': '[Service]\n' },
    /has no ExecStart/,
  ],
];

for (const [name, files, pattern] of refused) {
  test(`refused: ${name}`, () => {
    const root = hostWith(files);
    const before = filesOf(root);
    assert.throws(
      () => planEnable(found(root), 'read'),
      (error) =>
        error instanceof KleidiError && pattern.test(error.message) && error.hint !== undefined,
    );
    assert.deepEqual(filesOf(root), before);
  });
}

test('a change that fails half way is taken back', async () => {
  const root = hostWith({ [manifestPath]: manifest });
  const { changes } = planEnable(found(root), 'read');
  assert.equal(changes.length, 2);
  const before = filesOf(root);
  // A file stands where the folder of the second one should be.
  const broken = changes.map((change) =>
    change.path === manifestPath ? { ...change, path: `${manifestPath}/x` } : change,
  );
  await assert.rejects(carryOut(root, broken), /everything is as it was before/);
  assert.deepEqual(filesOf(root), before);
});

test('a run that was killed between two files is finished, or undone, by the next', async () => {
  const root = hostWith({ [manifestPath]: manifest });
  const record = join(root, 'record.json');
  const apiserver = found(root);
  const plan = planEnable(apiserver, 'read');
  await ChangeRecord.write(record, undefined, plan.changes);
  await carryOut(root, plan.changes.slice(0, 1));
  const finished = planEnable(apiserver, 'read');
  assert.deepEqual(finished.changes, plan.changes.slice(1));
  const undone = planDisable(apiserver, await ChangeRecord.read(record), false);
  await carryOut(root, undone.changes);
  const { 'record.json': _, ...left } = filesOf(root);
  assert.deepEqual(left, { [manifestPath.slice(1)]: manifest });
});

test('temporary names in the manifests folder are hidden from the kubelet', async () => {
  const root = hostWith({ [manifestPath]: manifest });
  const folder = join(root, dirname(manifestPath));
  const seen = new Set<string>();
  const watch = setInterval(() => {
    for (const name of readdirSync(folder)) seen.add(name);
  }, 0);
  const { changes } = planEnable(found(root), 'read');
  for (let i = 0; i < 20; i += 1) await carryOut(root, changes);
  clearInterval(watch);
  assert.deepEqual(
    [...seen].filter((name) => !name.startsWith('.')),
    ['kube-apiserver.yaml'],
  );
});

test('a key in clear is never shown in a diff', () => {
  const aescbc = `{aescbc: {keys: [{name: key1, secret: ${secret}}]}}`;
  for (const text of [
    configuration(`[${aescbc}]`),
    JSON.stringify({ secret }),
    `secret: "${secret}"\n`,
    `keys:\n- secret: >-\n    ${secret}\n`,
    `{"secret" :\n  '${secret}'}`,
  ]) {
    const shown = differenceOf({ path: config, before: undefined, after: text, mode: 0o600 });
    assert.ok(!shown.includes(secret), shown);
    assert.match(shown, /\*\*\*/);
  }
});

test('phases go one step at a time, both ways; a single API server may skip to write and back', () => {
  const steps = [undefined, 'read', 'write', 'only'] as const;
  for (const [i, from] of steps.entries()) {
    for (const [j, to] of steps.entries()) {
      if (to === undefined) continue;
      const isNear = Math.abs(i - j) <= 1;
      if (isNear) requireStep(from, to, false);
      else assert.throws(() => requireStep(from, to, false), { code: 'refused' }, `${from} ${to}`);
    }
  }
  requireStep(undefined, 'write', true);
  requireStep('only', 'read', true);
  for (const from of [undefined, 'read'] as const)
    assert.throws(() => requireStep(from, 'only', true), /comes after write/);
});
