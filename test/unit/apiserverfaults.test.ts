// What `kleidi apiserver` refuses, and that nothing is changed then.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { carryOut } from '../../src/apiserver/change.ts';
import { differenceOf } from '../../src/apiserver/difference.ts';
import { requireInstallation } from '../../src/apiserver/installation.ts';
import { planDisable, planEnable, requireStep } from '../../src/apiserver/plan.ts';
import { ChangeRecord } from '../../src/apiserver/record.ts';
import { KleidiError } from '../../src/errors.ts';
import { temporaryFolder } from '../support/folder.ts';

const manifestPath = '/etc/kubernetes/manifests/kube-apiserver.yaml';
const config = '/etc/kubernetes/kleidi/encryption-config.yaml';
const paths = { socket: '/run/kleidi/kms.sock', config };
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
      () => planEnable(root, requireInstallation(root, undefined), paths, 'read'),
      (error) =>
        error instanceof KleidiError && pattern.test(error.message) && error.hint !== undefined,
    );
    assert.deepEqual(filesOf(root), before);
  });
}

test('a change that fails half way is taken back', async () => {
  const root = hostWith({ [manifestPath]: manifest });
  const { changes } = planEnable(root, requireInstallation(root, undefined), paths, 'read');
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
  const installation = requireInstallation(root, undefined);
  const plan = planEnable(root, installation, paths, 'read');
  await ChangeRecord.write(record, undefined, plan.changes);
  await carryOut(root, plan.changes.slice(0, 1));
  const finished = planEnable(root, installation, paths, 'read');
  assert.deepEqual(finished.changes, plan.changes.slice(1));
  const undone = planDisable(root, installation, paths, await ChangeRecord.read(record));
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
  const { changes } = planEnable(root, requireInstallation(root, undefined), paths, 'read');
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
  ]) {
    const shown = differenceOf({ path: config, before: undefined, after: text, mode: 0o600 });
    assert.ok(!shown.includes(secret), shown);
    assert.match(shown, /\*\*\*/);
  }
});

test('phases go one step at a time', () => {
  requireStep(undefined, 'read', false);
  requireStep('read', 'write', false);
  requireStep('write', 'only', false);
  requireStep('only', 'read', false);
  requireStep(undefined, 'write', true);
  for (const from of [undefined, 'read'] as const)
    assert.throws(() => requireStep(from, 'only', true), /comes after write/);
  assert.throws(() => requireStep(undefined, 'write', false), /comes after read/);
});
