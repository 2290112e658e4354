// Turning kleidi off leaves the EncryptionConfiguration while kube-apiserver could still be
// started with the flags that name it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { distributionsOf } from '../../src/apiserver/distributions/all.ts';
import type { Distribution } from '../../src/apiserver/distributions/distribution.ts';

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
