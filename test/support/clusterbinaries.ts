// kube-apiserver, kubectl and etcd, built from their Go modules by test/cluster/build.
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingTool } from './skip.ts';
import { onHosts } from './systemhost.ts';

const build = fileURLToPath(new URL('../cluster/build', import.meta.url));

/** The folder that holds them, of KLEIDI_CLUSTER_LINE where that is set; or why there is none. */
function clusterBinaries(): { readonly folder: string } | { readonly reason: string } {
  const line = process.env['KLEIDI_CLUSTER_LINE'];
  const args = line === undefined || line === '' ? [build] : [build, line];
  const built = spawnSync('sh', args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 1_500_000 });
  if (built.status === 0) return { folder: built.stdout.toString().trim() };
  const why = built.stderr.toString().trim().split('\n').at(-1);
  return { reason: why ?? 'kube-apiserver, kubectl and etcd cannot be built' };
}

/** Defines tests that need a cluster; one skipped test with the reason where there is none. */
export async function onCluster(define: (folder: string) => Promise<void>): Promise<void> {
  await onHosts(async () => {
    const missing = missingTool('go', 'etcdctl', 'openssl');
    const binaries = missing === false ? clusterBinaries() : { reason: missing };
    if ('folder' in binaries) return define(binaries.folder);
    if (process.env['KLEIDI_TEST_STRICT'] === '1') throw new Error(`strict: ${binaries.reason}`);
    test('cluster', { skip: binaries.reason }, () => undefined);
  });
}
