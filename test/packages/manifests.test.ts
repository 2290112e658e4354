// The pod that kleidi prints for hosts that take no package, run by podman as the kubelet would:
// from empty folders to a socket that seals, and again.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { containerId, hostFolders } from '../../src/container/hostfolders.ts';
import { KmsClient } from '../support/client.ts';
import { temporaryFolder } from '../support/folder.ts';
import { kleidi } from '../support/kleidi.ts';
import { imageIn, PodHost, podsMissing, version } from '../support/podhost.ts';

interface Container {
  readonly name: string;
  readonly securityContext: {
    readonly runAsUser: number;
    readonly readOnlyRootFilesystem: boolean;
    readonly allowPrivilegeEscalation: boolean;
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] };
  };
  readonly args?: readonly string[];
  readonly volumeMounts: readonly { readonly name: string; readonly readOnly?: boolean }[];
}

interface Pod {
  readonly spec: {
    readonly initContainers: readonly Container[];
    readonly containers: readonly Container[];
    readonly volumes: readonly { readonly hostPath: { readonly path: string } }[];
  };
}

async function printed(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await kleidi(['manifests', ...args]);
  assert.equal(exitCode, 0, stderr);
  return stdout;
}

test('a pod has no capability, no writable root and no other user, but for the one that gives it its folders', async () => {
  const text = await printed('--kind', 'static-pod');
  assert.doesNotMatch(text, /[&*]a[0-9]/, 'no anchors');
  const { spec } = parse(text) as Pod;
  for (const { name, securityContext } of [...spec.initContainers, ...spec.containers]) {
    const { runAsUser, capabilities, ...rest } = securityContext;
    const isFirst = name === 'folders';
    assert.equal(runAsUser, isFirst ? 0 : containerId, name);
    assert.deepEqual(capabilities, { drop: ['ALL'], ...(isFirst ? { add: ['CHOWN'] } : {}) });
    assert.ok(rest.readOnlyRootFilesystem && !rest.allowPrivilegeEscalation, name);
  }
  const [server] = spec.containers;
  const writable = server?.volumeMounts.filter(({ readOnly }) => readOnly !== true);
  assert.deepEqual(
    writable?.map(({ name }) => name),
    ['run'],
  );
});

test('a DaemonSet makes no KEK, as each of its pods would make another one', async () => {
  const image = 'registry.example/kleidi:1';
  const text = await printed('--kind', 'daemonset', '--image', image, '--json');
  const { spec } = JSON.parse(text) as { spec: { template: Pod & { spec: object } } };
  const { initContainers, containers } = spec.template.spec;
  assert.deepEqual(initContainers[1]?.args, ['provision', '--token-only']);
  assert.ok(
    [...initContainers, ...containers].every((each) => 'image' in each && each.image === image),
  );
});

const skip = podsMissing();
const folder = temporaryFolder();
const layout = skip === false ? imageIn(folder) : '';

test('two masters in pods come to one ring by the commands of the page', { skip }, async () => {
  const masters = new Map<string, PodHost>();
  for (const name of ['cp1', 'cp2']) {
    const host = await PodHost.make(join(folder, name), layout, '--token-only');
    writeFileSync(join(host.root, 'etc/machine-id'), `${name.slice(-1).repeat(32)}\n`);
    await host.play();
    masters.set(name, host);
  }
  const masterOf = (name: string): PodHost => masters.get(name) ?? assert.fail(name);
  const inPod = (name: string, command: string, input = ''): string => {
    const words = ['exec', '-i', 'kleidi-commands', 'sh', '-c', `cd /var/lib/kleidi && ${command}`];
    const { exitCode, stdout, stderr } = masterOf(name).podmanWith(input, ...words);
    assert.equal(exitCode, 0, stderr);
    return stdout;
  };

  const request = JSON.parse(inPod('cp2', 'kleidi key request --out cp2.request --json')) as {
    sha256: string;
  };
  inPod('cp1', 'cat > cp2.request', inPod('cp2', 'cat cp2.request'));
  const create = `kleidi key create --first --for cp2.request=${request.sha256} --out kek.bundle`;
  const { digest } = JSON.parse(inPod('cp1', `${create} --json`)) as { digest: string };
  inPod('cp2', 'cat > kek.bundle', inPod('cp1', 'cat kek.bundle'));
  inPod('cp2', `kleidi join kek.bundle --expect ${digest}`);
  const digests = ['cp1', 'cp2'].map((name) => inPod(name, 'kleidi ring digest --live'));
  assert.equal(digests[0], digests[1]);

  const [one, two] = [new KmsClient(masterOf('cp1').socket), new KmsClient(masterOf('cp2').socket)];
  const plaintext = Buffer.from('sealed by one, opened by the other');
  const { ciphertext, keyId } = await one.encrypt(plaintext);
  assert.deepEqual(await two.decrypt(ciphertext, keyId), plaintext);
  for (const client of [one, two]) client.close();
});

test('podman plays the static pod: provisioned from nothing, served to the host, and again', {
  skip,
}, async () => {
  const host = await PodHost.make(join(folder, 'alone'), layout);
  await host.play();
  for (const { path, mode } of hostFolders) {
    const found = statSync(join(host.root, path));
    assert.deepEqual([found.uid, found.gid, found.mode & 0o777], [containerId, containerId, mode]);
  }
  const client = new KmsClient(host.socket);
  const plaintext = Buffer.from('a Secret of the cluster');
  const { ciphertext, keyId } = await client.encrypt(plaintext);
  client.close();
  const digest = host.podman('exec', 'kleidi-commands', 'kleidi', 'ring', 'digest', '--live');
  assert.match(digest.stdout, /^sha256:/, digest.stderr);
  for (const command of host.probes) {
    assert.equal(host.podman('exec', 'kleidi-kleidi', ...command).exitCode, 0, command.join(' '));
  }

  await host.play();
  const other = new KmsClient(host.socket);
  assert.deepEqual(await other.decrypt(ciphertext, keyId), plaintext);
  other.close();

  // A folder that another has filled is not taken.
  host.end();
  execFileSync('chown', ['-R', '0:0', join(host.root, 'var/lib/kleidi')]);
  const run = ['run', '--rm', `--volume=${host.root}/var/lib/kleidi:/var/lib/kleidi`];
  const image = `localhost/kleidi:${version}`;
  const refused = host.podman(...run, '--network=none', '--user=0', image, ...host.taker);
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stderr, /kleidi is not empty, and belongs to 0:0/);
});
