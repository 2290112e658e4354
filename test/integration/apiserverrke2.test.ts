// kleidi apiserver disable with RKE2: its pod has the old flags until rke2-server restarts.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { TestHost } from '../support/host.ts';

const host = await TestHost.provisioned();
await host.serve();
const root = join(host.folder, 'root');
const at = (path: string): string => join(root, path);
const put = (path: string, text: string): void => {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), text);
};
const pod = '/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml';
const configuration = join(root, host.folder, 'encryption-config.yaml');
const dropIn = at('/etc/rancher/rke2/config.yaml.d/50-kleidi.yaml');
const record = join(dirname(host.ringPath), 'apiserver/record.json');

async function run(...args: string[]): Promise<string> {
  const { exitCode, stderr } = await host.run('apiserver', ...args, '--root', root);
  assert.equal(exitCode, 0, stderr);
  return stderr;
}

test('the file stays until the pod is made without its flag, and then goes', async () => {
  put('/etc/rancher/rke2/config.yaml', 'token: x\n');
  put('/var/lib/rancher/rke2/server/token', 'x\n');
  await run('enable', '--phase', 'read');
  put(pod, `- --encryption-provider-config=${join(host.folder, 'encryption-config.yaml')}\n`);

  for (const time of ['first', 'second']) {
    assert.match(
      await run('disable', '--no-scan'),
      /stays, without kleidi.*run this command again/,
    );
    assert.ok(!existsSync(dropIn), time);
    assert.doesNotMatch(readFileSync(configuration, 'utf8'), /kms/, time);
    assert.ok(existsSync(record), time);
  }
  put(pod, '- --etcd-servers=https://127.0.0.1:2379\n');
  assert.doesNotMatch(await run('disable', '--no-scan'), /stays/);
  assert.ok(!existsSync(configuration));
  assert.ok(!existsSync(record));
});
