// YAML of somebody else, as it is allowed to be written: what an edit must not touch
// stays as it is, to the letter, and what it cannot edit safely it refuses.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  disabledClusterConfiguration,
  enabledClusterConfiguration,
} from '../../src/apiserver/distributions/clusterconfiguration.ts';
import { disabledManifest, enabledManifest } from '../../src/apiserver/distributions/manifest.ts';
import { EncryptionConfiguration } from '../../src/apiserver/encryptionconfig.ts';
import { requireRestUntouched } from '../../src/apiserver/yamlrules.ts';
import { KleidiError } from '../../src/errors.ts';

const paths = { socket: '/run/kleidi/kms.sock', config: '/etc/kubernetes/kleidi/e.yaml' };
const manifest = readFileSync('test/vectors/apiserver/kubeadm/manifest.yaml', 'utf8');

function isRefused(work: () => unknown, reason: RegExp): void {
  assert.throws(work, (error) => {
    const { code, message, hint } = KleidiError.from(error);
    assert.deepEqual([code, hint !== undefined], ['refused', true]);
    assert.match(message, reason);
    return true;
  });
}

/** Every line of the original, in its order, is in the result. */
function keepsLines(before: string, after: string): void {
  const left = after.split('\n');
  for (const line of before.split('\n')) {
    const at = left.indexOf(line);
    assert.notEqual(at, -1, `lost: ${line}\n${after}`);
    left.splice(0, at + 1);
  }
}

/** Numbers and words that YAML 1.1, which kubelet and API server read, and 1.2 read differently. */
const scalars = [
  '0644',
  '0x1f',
  '0o17',
  '1_000',
  '1.10',
  '1e3',
  '+5',
  '190:20:30',
  '.5',
  'yes',
  'Off',
  '~',
  'null',
  'True',
  '"0644"',
  "'on'",
  '"true"',
  '2026-01-01',
  '1.0',
];

test('every scalar of a static pod keeps its text, there and back', () => {
  const marks = scalars.map((scalar, i) => `    mark${i}: ${scalar}\n`).join('');
  const text = manifest
    .replace('  annotations:\n', `  annotations:\n${marks}`)
    .replace(
      '  volumes:\n',
      '  volumes:\n  - name: s\n    secret: {secretName: s, defaultMode: 0644}\n',
    );
  const enabled = enabledManifest(text, 'pod', paths);
  keepsLines(text, enabled);
  assert.equal(disabledManifest(enabled, 'pod', paths, text), text);
});

test('a static pod whose lists are shared is refused', () => {
  for (const [from, to, reason] of [
    ['  volumes:\n', '  x: &vols []\n  volumes: *vols\n  y:\n', /spec\.volumes is an alias/],
    ['  volumes:\n', '  volumes: &vols\n', /spec\.volumes has an anchor/],
    ['    volumeMounts:\n', '    volumeMounts: &m\n', /volumeMounts has an anchor/],
    ['  - command:\n', '  - &c\n    command:\n', /spec\.containers\.0 has an anchor/],
    [
      '  - command:\n',
      '  - <<: {tty: true}\n    command:\n',
      /containers has an item by an alias or a merge/,
    ],
    [
      '    - kube-apiserver\n',
      '    - &name kube-apiserver\n    - *name\n',
      /an item by an alias or a merge/,
    ],
  ] as const) {
    const text = manifest.replace(from, to);
    assert.notEqual(text, manifest, from);
    isRefused(() => enabledManifest(text, 'pod', paths), reason);
    isRefused(() => disabledManifest(text, 'pod', paths, false), reason);
  }
});

test('aliases elsewhere in a static pod stay', () => {
  const text = manifest.replace('  annotations:\n', '  annotations:\n    a: &a "x"\n    b: *a\n');
  keepsLines(text, enabledManifest(text, 'pod', paths));
});

test('a user that comes by a merge is seen', () => {
  const text = manifest
    .replace('metadata:\n', 'x: &u {runAsUser: 1000}\nmetadata:\n')
    .replace('  volumes:\n', '  securityContext:\n    <<: *u\n  volumes:\n')
    .replace(/ {2}securityContext:\n {4}seccompProfile:\n {6}type: RuntimeDefault\n/, '');
  isRefused(() => enabledManifest(text, 'pod', paths), /runs as user 1000/);
});

test('a ClusterConfiguration keeps what it has, or is refused', () => {
  const text = `apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
etcd: {local: {x: 0755}}
apiServer:
  extraArgs:
    profiling: "false"
    v: "02"
`;
  const enabled = enabledClusterConfiguration(text, paths);
  keepsLines(text, enabled);
  assert.equal(disabledClusterConfiguration(enabled, paths, text), text);
  const shared = text.replace('extraArgs:', 'extraArgs: &args');
  isRefused(() => enabledClusterConfiguration(shared, paths), /extraArgs has an anchor/);
  isRefused(() => disabledClusterConfiguration(shared, paths, false), /extraArgs has an anchor/);
});

test('an EncryptionConfiguration keeps the providers of others, or is refused', () => {
  const aes =
    'aescbc: {keys: [{name: "01", secret: c2l4dGVlbiBieXRlcyBub3QgYSBrZXkgYXQgYWxsISE=}]}';
  const text = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - secrets
    providers:
      - ${aes}
      - kms: {apiVersion: v1, name: old, endpoint: unix:///old.sock, cachesize: 01000}
      - identity: {}
`;
  const write = new EncryptionConfiguration(text, paths).withPhase('write');
  keepsLines(text, write);
  assert.equal(new EncryptionConfiguration(write, paths).withoutKleidi(), text);
  const shared = text.replace('providers:', 'providers: &p');
  isRefused(
    () => new EncryptionConfiguration(shared, paths).withPhase('read'),
    /providers has an anchor/,
  );
  const alias = text
    .replace('identity: {}', 'identity: &i {}')
    .replace('      - kms:', '      - identity: *i\n      - kms:');
  isRefused(() => new EncryptionConfiguration(alias, paths).withPhase('read'), /./);
});

test('whatever else an edit would change is found', () => {
  const before = 'a: 0644\nb: [x, y]\nc: "true"\nours: [1]\n';
  const touched = [{ at: ['ours'], isOurs: () => true }];
  requireRestUntouched(before, before.replace('[1]', '[1, 2]'), 'file', touched);
  requireRestUntouched(before, before.replace('ours: [1]\n', ''), 'file', touched);
  for (const [from, to] of [
    ['0644', '644'],
    ['"true"', 'true'],
    ['[x, y]', '[y, x]'],
    ['a:', 'd:'],
    ['b: [x, y]\n', ''],
    ['c:', 'd: 1\nc:'],
  ] as const) {
    isRefused(
      () => requireRestUntouched(before, before.replace(from, to), 'file', touched),
      /without changing other parts/,
    );
  }
});
