// Three API servers that seal with kleidi: what is in etcd, and who reads it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '../support/apiservers.ts';
import { Cluster } from '../support/cluster.ts';
import { onCluster } from '../support/clusterbinaries.ts';

const inClear = 'written-before-kleidi-0123456789';
const sealed = 'written-through-kleidi-0123456789';

await onCluster(async (binaries) => {
  const cluster = await Cluster.boot(binaries);
  const { api, hosts } = cluster;

  test('a Secret from before kleidi is in clear in the files of etcd', async () => {
    await api.createSecret(0, 'before', inClear);
    assert.ok(!cluster.isSealed(0, 'before'));
    for (const index of hosts.keys())
      await waitFor(
        () => cluster.etcdFilesHave(index, Buffer.from(inClear)),
        () => `not in the files of host ${index}`,
      );
  });

  test('phase read, then phase write, one host after the other: each is ready again', async () => {
    for (const phase of ['read', 'write'] as const) {
      await cluster.takeTo(phase);
      for (const index of hosts.keys())
        assert.equal(await api.get(index, '/readyz/kms-providers'), 'ok');
    }
  });

  test('what one API server seals is sealed in etcd, and the two others read it', async () => {
    for (const writer of hosts.keys()) {
      const name = `sealed-by-${writer}`;
      await api.createSecret(writer, name, sealed);
      assert.ok(cluster.isSealed(writer, name));
      for (const reader of hosts.keys()) assert.equal(await api.secret(reader, name), sealed);
    }
  });

  test('its plaintext is nowhere in the files of any member', async () => {
    for (const index of hosts.keys())
      for (const bytes of [sealed, Buffer.from(sealed).toString('base64')])
        assert.ok(!cluster.etcdFilesHave(index, Buffer.from(bytes)), `host ${index}`);
  });

  test('after the rewrite the Secret from before is sealed as well', async () => {
    assert.ok((await api.rewriteSecrets(1)) >= 4);
    assert.ok(cluster.isSealed(2, 'before'));
    for (const reader of hosts.keys()) assert.equal(await api.secret(reader, 'before'), inClear);
  });
});
