// The pod that kleidi prints for hosts that take no package, run by podman as the kubelet would:
// from empty folders to a socket that seals, and again.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { containerId, hostFolders } from '../../src/container/hostfolders.ts';
import { KmsClient } from '../support/client.ts';
import { ContainerHost, containersMissing } from '../support/container.ts';
import { temporaryFolder } from '../support/folder.ts';
import { kleidi } from '../support/kleidi.ts';
import { missingTool } from '../support/skip.ts';

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

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

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

const folder = temporaryFolder();
const layout = join(folder, 'image');
const skip =
  containersMissing() || missingTool('catatonit', 'apt-get', 'apt-cache', 'dpkg-deb', 'objdump');

if (skip === false) {
  execFileSync('npm', ['run', '--silent', 'image', '--', '--out', layout], { stdio: 'ignore' });
}

test('two masters in pods come to one ring by the commands of the page', { skip }, async () => {
  const masters = new Map<string, ContainerHost>();
  for (const name of ['cp1', 'cp2']) {
    const host = hostAt(name);
    writeFileSync(join(host.root, 'etc/machine-id'), `${name.slice(-1).repeat(32)}\n`);
    const manifest = join(folder, name, 'kleidi.yaml');
    writeFileSync(manifest, stringify((await podOn(host.root, '--token-only')).played));
    const played = host.podman('play', 'kube', '--network=none', '--quiet', manifest);
    assert.equal(played.exitCode, 0, played.stderr);
    masters.set(name, host);
  }
  const inPod = (name: string, command: string, input = ''): string => {
    const words = ['exec', '-i', 'kleidi-commands', 'sh', '-c', `cd /var/lib/kleidi && ${command}`];
    const { exitCode, stdout, stderr } = masterOf(name).podmanWith(input, ...words);
    assert.equal(exitCode, 0, stderr);
    return stdout;
  };
  const masterOf = (name: string): ContainerHost => masters.get(name) ?? assert.fail(name);

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

  const clients = ['cp1', 'cp2'].map(
    (name) => new KmsClient(join(masterOf(name).root, 'run/kleidi/kms.sock')),
  );
  const [one = assert.fail(), two = assert.fail()] = clients;
  const plaintext = Buffer.from('sealed by one, opened by the other');
  const { ciphertext, keyId } = await one.encrypt(plaintext);
  assert.deepEqual(await two.decrypt(ciphertext, keyId), plaintext);
  for (const client of clients) client.close();
});

test('podman plays the static pod: provisioned from nothing, served to the host, and again', {
  skip,
}, async () => {
  const host = hostAt('alone');
  // As the kubelet leaves them.
  for (const { path } of hostFolders) {
    rmSync(join(host.root, path), { recursive: true });
    mkdirSync(join(host.root, path), { mode: 0o755 });
  }
  const pod = await podOn(host.root);
  const manifest = join(folder, 'kleidi.yaml');
  writeFileSync(manifest, stringify(pod.played));
  const play = ['play', 'kube', '--network=none', '--quiet', '--replace', manifest];
  const first = host.podman(...play);
  assert.equal(first.exitCode, 0, first.stderr);
  for (const { path, mode } of hostFolders) {
    const found = statSync(join(host.root, path));
    assert.deepEqual([found.uid, found.gid, found.mode & 0o777], [containerId, containerId, mode]);
  }

  const socket = join(host.root, 'run/kleidi/kms.sock');
  const client = new KmsClient(socket);
  const plaintext = Buffer.from('a Secret of the cluster');
  await appears(socket);
  const { ciphertext, keyId } = await client.encrypt(plaintext);
  client.close();
  const digest = host.podman('exec', 'kleidi-commands', 'kleidi', 'ring', 'digest', '--live');
  assert.match(digest.stdout, /^sha256:/, digest.stderr);
  for (const command of pod.probes) {
    assert.equal(host.podman('exec', 'kleidi-kleidi', ...command).exitCode, 0, command.join(' '));
  }

  const again = host.podman(...play);
  assert.equal(again.exitCode, 0, again.stderr);
  await appears(socket);
  const other = new KmsClient(socket);
  assert.deepEqual(await other.decrypt(ciphertext, keyId), plaintext);
  other.close();

  // A folder that another has filled is not taken.
  host.podman('pod', 'rm', '--force', '--all', '--time=2');
  execFileSync('chown', ['-R', '0:0', join(host.root, 'var/lib/kleidi')]);
  const run = ['run', '--rm', `--volume=${host.root}/var/lib/kleidi:/var/lib/kleidi`];
  const image = `localhost/kleidi:${version}`;
  const refused = host.podman(...run, '--network=none', '--user=0', image, ...pod.taker);
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stderr, /kleidi is not empty, and belongs to 0:0/);
});

/** One that has the image. */
function hostAt(name: string): ContainerHost {
  const at = join(folder, name);
  mkdirSync(at);
  const host = new ContainerHost(at, version);
  assert.equal(host.load(layout).exitCode, 0);
  return host;
}

interface Played {
  readonly played: object;
  readonly probes: readonly (readonly string[])[];
  /** What the container that takes the folders calls. */
  readonly taker: readonly string[];
}

/**
 * With folders below `root`, and without probes, for which podman wants systemd. Its `once`
 * containers may be removed while they run (podman 4.3), so that they stay here.
 */
async function podOn(root: string, ...args: string[]): Promise<Played> {
  const pod = parse(await printed('--kind', 'static-pod', ...args)) as {
    metadata: { annotations?: object };
    spec: {
      restartPolicy?: string;
      initContainers: { args: string[] }[];
      containers: Record<string, { exec: { command: string[] } } | undefined>[];
      volumes: { hostPath: { path: string } }[];
    };
  };
  const { spec, metadata } = pod;
  metadata.annotations = { 'io.podman.annotations.init.container.type': 'always' };
  spec.restartPolicy = 'OnFailure';
  for (const { hostPath } of spec.volumes) hostPath.path = join(root, hostPath.path);
  const probes = spec.containers.flatMap((container) =>
    ['livenessProbe', 'readinessProbe'].flatMap((name) => {
      const found = container[name];
      delete container[name];
      return found === undefined ? [] : [found.exec.command];
    }),
  );
  assert.equal(probes.length, 2);
  return { played: pod, probes, taker: spec.initContainers[0]?.args ?? [] };
}

async function appears(path: string): Promise<void> {
  for (let i = 0; i < 500 && !existsSync(path); i += 1) await sleep(20);
}
