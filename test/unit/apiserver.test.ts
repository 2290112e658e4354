// `kleidi apiserver` on each distribution, phase by phase and back, against the
// bytes in test/vectors/apiserver: <name>.<phase> is what the file must be then.
// With KLEIDI_WRITE_VECTORS=1 they are written anew, to be read before they are kept.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { carryOut } from '../../src/apiserver/change.ts';
import {
  disabledClusterConfiguration,
  enabledClusterConfiguration,
} from '../../src/apiserver/distributions/clusterconfiguration.ts';
import type { DistributionName } from '../../src/apiserver/distributions/distribution.ts';
import { EncryptionConfiguration } from '../../src/apiserver/encryptionconfig.ts';
import { faultsIn } from '../../src/apiserver/encryptionrules.ts';
import { textAt } from '../../src/apiserver/hostfiles.ts';
import {
  type Apiserver,
  isFlagged,
  requireInstallation,
} from '../../src/apiserver/installation.ts';
import type { Phase } from '../../src/apiserver/phase.ts';
import { planDisable, planEnable } from '../../src/apiserver/plan.ts';
import { ChangeRecord } from '../../src/apiserver/record.ts';
import { temporaryFolder } from '../support/folder.ts';

const vectors = 'test/vectors/apiserver';
const config = '/etc/kubernetes/kleidi/encryption-config.yaml';
const paths = { socket: '/run/kleidi/kms.sock', config };
const found = (root: string, wanted?: DistributionName): Apiserver => ({
  ...requireInstallation(root, wanted),
  paths,
});
const phases: readonly Phase[] = ['read', 'write', 'only'];

interface Case {
  readonly name: string;
  readonly kind: DistributionName;
  /** Vector file by its place on the host. */
  readonly files: Readonly<Record<string, string>>;
  /** What changes, and the stem of its vectors. */
  readonly results: Readonly<Record<string, string>>;
}

const cases: readonly Case[] = [
  {
    name: 'kubeadm',
    kind: 'kubeadm',
    files: { '/etc/kubernetes/manifests/kube-apiserver.yaml': 'kubeadm/manifest.yaml' },
    results: {
      '/etc/kubernetes/manifests/kube-apiserver.yaml': 'kubeadm/manifest.yaml',
      [config]: 'kubeadm/encryption-config.yaml',
    },
  },
  {
    name: 'rke2',
    kind: 'rke2',
    files: {
      '/etc/rancher/rke2/config.yaml': 'rke2/config.yaml',
      '/var/lib/rancher/rke2/server/cred/encryption-config.json': 'rke2/encryption-config.json',
    },
    results: {
      '/etc/rancher/rke2/config.yaml.d/50-kleidi.yaml': 'rke2/50-kleidi.yaml',
      [config]: 'rke2/encryption-config.yaml',
    },
  },
  {
    name: 'k3s',
    kind: 'k3s',
    files: { '/etc/rancher/k3s/config.yaml': 'k3s/config.yaml' },
    results: {
      '/etc/rancher/k3s/config.yaml.d/50-kleidi.yaml': 'k3s/50-kleidi.yaml',
      [config]: 'k3s/encryption-config.yaml',
    },
  },
  {
    name: 'plain unit',
    kind: 'unit',
    files: { '/etc/systemd/system/kube-apiserver.service': 'unit/kube-apiserver.service' },
    results: {
      '/etc/systemd/system/kube-apiserver.service.d/50-kleidi.conf': 'unit/50-kleidi.conf',
      [config]: 'unit/encryption-config.yaml',
    },
  },
  {
    name: 'a configuration that is there already',
    kind: 'k3s',
    files: {
      '/etc/rancher/k3s/config.yaml': 'k3s/config.yaml',
      [config]: 'merged/encryption-config.yaml',
    },
    results: { [config]: 'merged/encryption-config.yaml' },
  },
];

function hostWith(files: Case['files']): string {
  const root = temporaryFolder();
  for (const [path, vector] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    cpSync(join(vectors, vector), join(root, path));
  }
  return root;
}

function requireVector(actual: string, vector: string): void {
  const path = join(vectors, vector);
  if (process.env['KLEIDI_WRITE_VECTORS'] === '1') writeFileSync(path, actual);
  assert.equal(actual, readFileSync(path, 'utf8'), vector);
}

async function enable(root: string, kind: DistributionName, phase: Phase): Promise<number> {
  const record = join(root, 'record.json');
  const { changes } = planEnable(found(root, kind), phase);
  if (changes.length > 0)
    await ChangeRecord.write(record, await ChangeRecord.read(record), changes);
  await carryOut(root, changes);
  return changes.length;
}

for (const { name, kind, files, results } of cases) {
  test(`${name}: each phase gives the expected bytes, twice changes nothing, disable gives back the old ones`, async () => {
    const root = hostWith(files);
    for (const phase of phases) {
      assert.ok((await enable(root, kind, phase)) > 0);
      for (const [path, vector] of Object.entries(results)) {
        requireVector(textAt(root, path) ?? '', `${vector}.${phase}`);
      }
      const text = textAt(root, config) ?? '';
      assert.deepEqual(faultsIn(parse(text)), []);
      assert.equal(new EncryptionConfiguration(text, paths).phase, phase);
      assert.ok(isFlagged(found(root, kind)));
      assert.equal(await enable(root, kind, phase), 0, 'a second run changes something');
    }
    await enable(root, kind, 'write');
    await enable(root, kind, 'read');
    const record = await ChangeRecord.read(join(root, 'record.json'));
    const plan = planDisable(found(root, kind), record, false);
    assert.equal(plan.from, 'read');
    await carryOut(root, plan.changes);
    for (const path of Object.keys(results)) {
      const vector = files[path];
      if (vector === undefined) assert.ok(!existsSync(join(root, path)), path);
      else assert.equal(textAt(root, path), readFileSync(join(vectors, vector), 'utf8'), path);
    }
  });
}

test('disable takes out only what is ours from a manifest that was changed since', async () => {
  const manifest = '/etc/kubernetes/manifests/kube-apiserver.yaml';
  const root = hostWith({ [manifest]: 'kubeadm/manifest.yaml' });
  await enable(root, 'kubeadm', 'read');
  const path = join(root, manifest);
  writeFileSync(path, readFileSync(path, 'utf8').replace('v1.34.1', 'v1.34.2'));
  const record = await ChangeRecord.read(join(root, 'record.json'));
  await carryOut(root, planDisable(found(root), record, false).changes);
  const original = readFileSync(join(vectors, 'kubeadm/manifest.yaml'), 'utf8');
  assert.equal(readFileSync(path, 'utf8'), original.replace('v1.34.1', 'v1.34.2'));
});

for (const version of ['v1beta3', 'v1beta4']) {
  test(`ClusterConfiguration ${version}: enabled, enabled again, disabled`, () => {
    const stem = `kubeadm/clusterconfiguration-${version}.yaml`;
    const text = readFileSync(join(vectors, stem), 'utf8');
    const enabled = enabledClusterConfiguration(text, paths);
    requireVector(enabled, `${stem}.enabled`);
    assert.equal(enabledClusterConfiguration(enabled, paths), enabled);
    assert.equal(disabledClusterConfiguration(enabled, paths, text), text);
    assert.equal(disabledClusterConfiguration(enabled, paths, false), text);
  });
}
