// Turning kleidi off leaves the EncryptionConfiguration while kube-apiserver could still be
// started with the flags that name it.
import assert from 'node:assert/strict';
import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { distributionsOf } from '../../src/apiserver/distributions/all.ts';
import type { Distribution } from '../../src/apiserver/distributions/distribution.ts';
import { pendingRestart } from '../../src/apiserver/pending.ts';
import { temporaryFolder } from '../support/folder.ts';

const config = '/etc/kubernetes/kleidi/encryption-config.yaml';
function found(name: string): Distribution {
  const distribution = distributionsOf('/').find((each) => each.name === name);
  return distribution ?? assert.fail(name);
}

test('of a unit, what systemd has loaded counts; without an answer the file stays', () => {
  const answers: readonly (readonly [string | undefined, boolean])[] = [
    [`ExecStart={ argv[]=/bin/kube-apiserver --encryption-provider-config=${config} }`, true],
    ['ExecStart={ argv[]=/bin/kube-apiserver }', false],
    ['ExecStart=', false],
    [undefined, true],
  ];
  for (const [answer, isLoaded] of answers) {
    assert.equal(
      found('unit').hasLoaded('/', config, () => answer),
      isLoaded,
      answer,
    );
  }
  assert.ok(!found('unit').hasLoaded('/mnt', config, () => assert.fail('another host')));
});

test('the kubelet and k3s read what is there', () => {
  for (const kind of ['kubeadm', 'k3s'] as const) {
    assert.ok(!found(kind).hasLoaded('/', config, () => assert.fail('not asked')));
  }
});

test('a unit that runs since before its flags or, with RKE2, its configuration were written', () => {
  const folder = temporaryFolder();
  const paths = { socket: '/run/kleidi/kms.sock', config: join(folder, 'configuration') };
  const [flags, configuration] = [join(folder, 'flags'), paths.config];
  writeFileSync(flags, '');
  writeFileSync(configuration, '');
  utimesSync(flags, 100, 100);
  utimesSync(configuration, 200, 200);
  const pending = (name: string, startedMs: number | undefined, root = '/') => {
    const distribution = { ...found(name), flagFile: flags };
    return pendingRestart({ root, distribution, evidence: '', paths }, () => startedMs);
  };
  for (const name of ['k3s', 'unit', 'rke2']) {
    const service = found(name).service ?? assert.fail();
    assert.deepEqual(pending(name, 99_000), { kind: 'older', service, file: flags });
    assert.equal(pending(name, 201_000), undefined);
    assert.deepEqual(pending(name, 0), { kind: 'stopped', service });
    assert.equal(pending(name, undefined), undefined, 'systemd cannot be asked');
    assert.equal(pending(name, 99_000, '/mnt'), undefined, 'another file system');
    const file = name === 'rke2' ? configuration : undefined;
    assert.deepEqual(pending(name, 150_000), file && { kind: 'older', service, file });
  }
  assert.equal(pending('kubeadm', 0), undefined, 'the kubelet does it');
});
