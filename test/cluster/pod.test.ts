// A real kube-apiserver whose plugin is kleidi's pod: Secrets are sealed by it, and read back
// through restarts of both, in every order.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { onCluster } from '../support/clusterbinaries.ts';
import { Etcd } from '../support/etcd.ts';
import { temporaryFolder } from '../support/folder.ts';
import { LocalApiServer } from '../support/localapiserver.ts';
import { imageIn, PodHost, podsMissing } from '../support/podhost.ts';

const folder = temporaryFolder();
const secrets = '/api/v1/namespaces/default/secrets';
const contentOf = (name: string): string => `the value of ${name}`;

await onCluster(async (binaries) => {
  suite('a pod', { skip: podsMissing() }, () => define(binaries));
});

async function define(binaries: string): Promise<void> {
  const host = await PodHost.make(join(folder, 'host'), imageIn(folder));
  const etcd = await Etcd.start(join(folder, 'etcd'));
  const kmsSocket = host.socket;
  const apiServer = new LocalApiServer({ binaries, folder: join(folder, 'api'), etcd, kmsSocket });
  const names: string[] = [];

  async function create(name: string): Promise<void> {
    const stringData = { value: contentOf(name) };
    const { status, text } = await apiServer.call('POST', secrets, {
      ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData },
    });
    assert.equal(status, 201, text);
    names.push(name);
  }

  async function requireAllOpen(): Promise<void> {
    for (const name of names) {
      const { status, text } = await apiServer.call('GET', `${secrets}/${name}`);
      assert.equal(status, 200, text);
      const { data } = JSON.parse(text) as { data: { value: string } };
      assert.equal(Buffer.from(data.value, 'base64').toString(), contentOf(name));
    }
  }

  test('Secrets are sealed by the pod', async () => {
    await host.play();
    apiServer.start();
    await apiServer.ready();
    for (const name of ['first', 'second']) await create(name);
    await requireAllOpen();
    const stored = readFileSync(etcd.snapshot(join(folder, 'snapshot.db')));
    assert.ok(stored.includes('/registry/secrets/default/first'));
    assert.ok(stored.includes('k8s:enc:kms:v2:kleidi:'));
    assert.ok(!stored.includes(contentOf('first')));
  });

  test('the pod is replaced under a running API server', async () => {
    await host.play();
    await apiServer.ready();
    await requireAllOpen();
    await create('third');
  });

  test('the API server is restarted beside a running pod', async () => {
    await apiServer.stop();
    apiServer.start();
    await apiServer.ready();
    await requireAllOpen();
  });

  test('both were off: the API server comes first, and waits for the pod', async () => {
    await apiServer.stop();
    host.end();
    apiServer.start();
    await host.play();
    await apiServer.ready();
    await requireAllOpen();
    await create('fourth');
  });

  test('both were off: the pod comes first', async () => {
    await apiServer.stop();
    host.end();
    await host.play();
    apiServer.start();
    await apiServer.ready();
    await requireAllOpen();
  });
}
