// The OCI image: the same bytes from two builds, a valid layout with what is meant to be in
// it, and containers that provision and serve with a read-only root and no capability.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { KmsClient } from '../support/client.ts';
import { ContainerHost, containersMissing } from '../support/container.ts';
import { temporaryFolder } from '../support/folder.ts';
import { missingTool, skipReason } from '../support/skip.ts';

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

interface Index {
  readonly manifests: readonly [
    Descriptor & { readonly platform: { readonly architecture: string } },
  ];
}

interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

interface ImageConfig {
  readonly architecture: string;
  readonly config: {
    readonly User: string;
    readonly Entrypoint: readonly string[];
    readonly Labels: Readonly<Record<string, string>>;
  };
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

const cannotBuild =
  missingTool('apt-get', 'apt-cache', 'dpkg-deb', 'objdump') ||
  (execFileSync('apt-cache', ['madison', 'libsofthsm2'], { encoding: 'utf8' }) === '' &&
    skipReason('needs the lists of apt: apt-get update'));
const folder = temporaryFolder();

function build(name: string, env: NodeJS.ProcessEnv = {}): string {
  const out = join(folder, name);
  const script = 'umask 077; exec npm run --silent image -- --out "$1"';
  execFileSync('sh', ['-c', script, 'sh', out], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return out;
}

function filesOf(layout: string): readonly string[] {
  return globSync('**', { cwd: layout })
    .filter((path) => statSync(join(layout, path)).isFile())
    .map((path) => `${path} ${sha256(readFileSync(join(layout, path)))}`)
    .sort();
}

/** SoftHSM writes token.object anew at each login that may write. */
function kept(folder: string): readonly string[] {
  return filesOf(folder).filter((line) => !line.includes('/token.object '));
}

function sha256(contents: Buffer): string {
  return createHash('sha256').update(contents).digest('hex');
}

if (cannotBuild) test('OCI image', { skip: cannotBuild }, () => undefined);
else {
  const image = build('image');
  const blob = ({ digest, size }: Descriptor): Buffer => {
    const contents = readFileSync(join(image, 'blobs', digest.replace(':', '/')));
    assert.equal(`sha256:${sha256(contents)}`, digest);
    assert.equal(contents.length, size);
    return contents;
  };
  const read = <T>(contents: Buffer): T => JSON.parse(contents.toString()) as T;
  const { manifests } = read<Index>(readFileSync(join(image, 'index.json')));
  const { config: described, layers } = read<Manifest>(blob(manifests[0]));
  const config = read<ImageConfig>(blob(described));
  const { version } = read<{ version: string }>(readFileSync('package.json'));
  const unpacked = join(folder, 'unpacked');
  mkdirSync(unpacked);
  const lines = layers.flatMap((layer) => {
    const input = blob(layer);
    execFileSync('tar', ['-xz', '-C', unpacked, '--no-same-owner'], { input });
    const listing = execFileSync('tar', ['-tvz', '--numeric-owner'], { input, encoding: 'utf8' });
    return listing.trimEnd().split('\n');
  });

  test('a second build, by another user in another place of the world, gives the same bytes', () => {
    const second = build('second', { TZ: 'Pacific/Auckland', LC_ALL: 'C', USER: 'other' });
    assert.deepEqual(filesOf(second), filesOf(image));
  });

  test('the layout is whole: each blob is under its digest, and nothing else is there', () => {
    assert.deepEqual(read(readFileSync(join(image, 'oci-layout'))), {
      imageLayoutVersion: '1.0.0',
    });
    const named = [manifests[0], described, ...layers].map(({ digest }) => digest.slice(7));
    assert.deepEqual(globSync('*', { cwd: join(image, 'blobs/sha256') }).sort(), named.sort());
    const unpackedDigests = layers.map((layer) => `sha256:${sha256(gunzipSync(blob(layer)))}`);
    assert.deepEqual(config.rootfs.diff_ids, unpackedDigests);
    const architecture = process.arch === 'x64' ? 'amd64' : 'arm64';
    assert.equal(config.architecture, architecture);
    assert.equal(manifests[0].platform.architecture, architecture);
  });

  test('it runs as kleidi by number, on its own Node as the unit does, and says what it is', () => {
    const { User, Entrypoint, Labels } = config.config;
    assert.equal(User, '10650:10650');
    assert.match(readFileSync(join(unpacked, 'etc/passwd'), 'utf8'), /^kleidi:x:10650:10650:/m);
    const unit = readFileSync('systemd/kleidi.service', 'utf8');
    assert.ok(unit.includes(`ExecStart=${Entrypoint.join(' ')} serve\n`));
    assert.equal(Labels['org.opencontainers.image.version'], version);
    assert.equal(Labels['org.opencontainers.image.licenses'], 'Apache-2.0');
  });

  test('all is root:root but the folders of the host; nothing has a setuid bit or a writer', () => {
    const foreign = lines
      .filter((line) => !/^\S+ 0\/0 /.test(line))
      .map((line) => line.split(/ +/));
    assert.deepEqual(
      foreign.map(([mode, owner, , , , path]) => `${mode} ${owner} ${path}`),
      [
        'drwx------ 10650/10650 etc/kleidi/credentials/',
        'drwxr-x--- 10650/10650 run/kleidi/',
        'drwx------ 10650/10650 var/lib/kleidi/',
      ],
    );
    const loose = lines.filter((line) => /^-..[sS]|^-.....[sS]|^[-d].......w/.test(line));
    assert.deepEqual(
      loose.map((line) => line.split(' ').at(-1)),
      ['tmp/'],
    );
  });

  test('the bill of materials names each Debian package in it, and each has its license', () => {
    const path = join(unpacked, 'usr/share/doc/kleidi/sbom.cdx.json');
    const { components } = read<{ components: { name: string; purl: string }[] }>(
      readFileSync(path),
    );
    const inBill = components.filter(({ purl }) => purl.startsWith('pkg:deb/'));
    const recorded = globSync('*', { cwd: join(unpacked, 'var/lib/dpkg/status.d') });
    assert.ok(recorded.includes('libsofthsm2'));
    assert.deepEqual(inBill.map(({ name }) => name).sort(), recorded.sort());
    for (const name of ['node', 'pkcs11js'])
      assert.ok(components.some((each) => each.name === name));
    for (const name of [...recorded, 'kleidi']) {
      assert.ok(statSync(join(unpacked, 'usr/share/doc', name, 'copyright')).size > 500, name);
    }
  });

  test('nothing is built over a folder that holds something else', () => {
    const args = ['packaging/image.ts', '--out', join(folder, 'unpacked')];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.notEqual(status, 0);
    assert.match(stderr, /unpacked holds something else than an image/);
    assert.ok(statSync(join(unpacked, 'usr')).isDirectory());
  });

  test('containers provision once, serve to the host, and keep the key through a restart', {
    skip: containersMissing(),
  }, async () => {
    const host = new ContainerHost(folder, version);
    const loaded = host.load(image);
    assert.equal(loaded.exitCode, 0, loaded.stderr);
    const first = host.command('provision');
    assert.equal(first.exitCode, 0, first.stderr);
    assert.match(first.stderr, /no recovery: if the token or its PIN is lost/);
    const pin = statSync(join(host.root, 'etc/kleidi/credentials/pin'));
    assert.deepEqual([pin.mode & 0o777, pin.uid], [0o400, 10_650]);
    const before = kept(host.root);
    const again = host.command('provision');
    assert.match(again.stdout, /already provisioned, nothing changed/);
    assert.deepEqual(kept(host.root), before);

    const started = host.serve();
    assert.equal(started.exitCode, 0, started.stderr);
    const client = new KmsClient(join(host.root, 'run/kleidi/kms.sock'));
    const plaintext = Buffer.from('a Secret of the cluster');
    const sealed = await client.encrypt(plaintext);
    assert.equal((await client.status()).healthz, 'ok');
    const caps = host.podman('exec', 'kleidi', 'cat', '/proc/1/status').stdout;
    assert.match(caps, /^CapEff:\t0+$[\s\S]*^CapBnd:\t0+$[\s\S]*^NoNewPrivs:\t1$/m);
    assert.match(host.podman('exec', 'kleidi', 'kleidi', 'status').stdout, /^serving$/m);

    assert.equal(host.podman('restart', '--time=10', 'kleidi').exitCode, 0);
    const opened = await client.decrypt(sealed.ciphertext, sealed.keyId, sealed.annotations);
    assert.deepEqual(opened, plaintext);
    assert.equal((await client.encrypt(plaintext)).keyId, sealed.keyId);
    assert.deepEqual(
      kept(join(host.root, 'var/lib')),
      before
        .filter((line) => line.startsWith('var/lib/'))
        .map((line) => line.slice('var/lib/'.length)),
    );
  });
}
