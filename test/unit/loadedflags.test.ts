// Turning kleidi off leaves the EncryptionConfiguration while kube-apiserver could still be
// started with the flags that name it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Distribution, Installation } from '../../src/apiserver/installation.ts';
import { hasLoaded } from '../../src/apiserver/loadedflags.ts';

const config = '/etc/kubernetes/kleidi/encryption-config.yaml';
const found = (kind: Distribution): Installation => ({ kind, evidence: '', restart: '' });

test('of a unit, what systemd has loaded counts; without an answer the file stays', () => {
  const answers: readonly (readonly [string | undefined, boolean])[] = [
    [`ExecStart={ argv[]=/bin/kube-apiserver --encryption-provider-config=${config} }`, true],
    ['ExecStart={ argv[]=/bin/kube-apiserver }', false],
    ['ExecStart=', false],
    [undefined, true],
  ];
  for (const [answer, isLoaded] of answers) {
    assert.equal(
      hasLoaded('/', found('unit'), config, () => answer),
      isLoaded,
      answer,
    );
  }
  assert.ok(!hasLoaded('/mnt', found('unit'), config, () => assert.fail('another host')));
});

test('the kubelet and k3s read what is there', () => {
  for (const kind of ['kubeadm', 'k3s'] as const) {
    assert.ok(!hasLoaded('/', found(kind), config, () => assert.fail('not asked')));
  }
});
