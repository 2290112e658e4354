// What the packages hold: the same in both formats, with right modes, nothing
// of the machine that built them, and a program that runs.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tooNew } from '../../packaging/glibc.ts';
import { temporaryFolder } from '../support/folder.ts';
import { debFiles, rpmDigests, rpmFiles } from '../support/packagefiles.ts';
import { builtPackage } from '../support/packages.ts';
import { missingTool } from '../support/skip.ts';

const skip = missingTool('dpkg-deb', 'rpm', 'rpmbuild', 'checkmodule', 'objdump');
const root = fileURLToPath(new URL('../..', import.meta.url));

const onlyDeb = [
  '/usr/share/doc/kleidi/changelog.gz',
  '/usr/share/doc/kleidi/copyright',
  '/usr/share/lintian/overrides/kleidi',
];
const onlyRpm = ['/usr/share/doc/kleidi/CHANGELOG.md', '/usr/share/selinux/packages/kleidi.pp'];
const executable = [
  '/usr/bin/kleidi',
  '/usr/lib/kleidi/before-start',
  '/usr/lib/kleidi/bin/node',
  '/usr/lib/kleidi/first-boot',
];
const settings = ['/etc/kleidi/kleidi.yaml', '/etc/kleidi/softhsm2.conf'];

/** All but documents and the add-ons' own files. */
const expected = [
  ...settings,
  ...executable,
  '/usr/lib/kleidi/drop-ins/jitless.conf',
  '/usr/lib/kleidi/drop-ins/network-hsm.conf',
  '/usr/lib/kleidi/drop-ins/tpm.conf',
  '/usr/lib/kleidi/drop-ins/usb-hsm.conf',
  '/usr/lib/kleidi/drop-ins/vault.conf',
  '/usr/lib/kleidi/kleidi.js',
  '/usr/lib/kleidi/program.cache',
  '/usr/lib/kleidi/program.js',
  '/usr/lib/systemd/catalog/kleidi.catalog',
  '/usr/lib/systemd/system-preset/80-kleidi.preset',
  '/usr/lib/systemd/system/kleidi-first-boot.service',
  '/usr/lib/systemd/system/kleidi-metrics.service',
  '/usr/lib/systemd/system/kleidi-metrics.socket',
  '/usr/lib/systemd/system/kleidi-prepare.service',
  '/usr/lib/systemd/system/kleidi.service',
  '/usr/lib/systemd/system/kleidi.socket',
  '/usr/lib/sysusers.d/kleidi.conf',
  '/usr/lib/tmpfiles.d/kleidi.conf',
  '/usr/share/bash-completion/completions/kleidi',
  '/usr/share/kleidi/kleidi.board.json',
  '/usr/share/kleidi/kleidi.rules.yaml',
  '/usr/share/lintian/overrides/kleidi',
  '/usr/share/man/man5/kleidi.yaml.5.gz',
  '/usr/share/man/man8/kleidi.8.gz',
];

if (skip) test('packages', { skip }, () => undefined);
else {
  const [deb, rpm] = [builtPackage('deb'), builtPackage('rpm')];
  const folder = temporaryFolder();
  execFileSync('dpkg-deb', ['--extract', deb, folder]);
  const inDeb = debFiles(deb);
  const inRpm = rpmFiles(rpm);
  const filesOf = (list: typeof inDeb): string[] =>
    list.filter(({ isFolder }) => !isFolder).map(({ path }) => path);

  test('both formats hold the same files, byte for byte', () => {
    const digests = rpmDigests(rpm);
    const shared = filesOf(inDeb).filter((path) => !onlyDeb.includes(path));
    assert.deepEqual(
      shared.sort(),
      filesOf(inRpm)
        .filter((path) => !onlyRpm.includes(path))
        .sort(),
    );
    for (const path of shared) {
      const digest = createHash('sha256')
        .update(readFileSync(join(folder, path)))
        .digest('hex');
      assert.equal(digests.get(path), digest, path);
    }
  });

  test('nothing is in them that is not meant to be', () => {
    const found = filesOf(inDeb).filter(
      (path) => !/^\/usr\/(share\/doc|lib\/kleidi\/node_modules)\//.test(path),
    );
    assert.deepEqual(found.sort(), [...expected].sort());
    const addons = filesOf(inDeb).filter((path) => path.includes('/node_modules/'));
    for (const path of addons) assert.match(path, /\.(js|node)$|\/package\.json$/);
    assert.equal(addons.filter((path) => path.endsWith('.node')).length, 3);
  });

  test('everything is root:root; only programs can be run', () => {
    for (const { path, mode, owner, isFolder } of [...inDeb, ...inRpm]) {
      const wanted = isFolder || executable.includes(path) ? '755' : '644';
      assert.equal(`${path} ${mode} ${owner}`, `${path} ${wanted} root:root`);
    }
  });

  test('the settings are configuration files in both formats', () => {
    const info = (...args: string[]): string[] =>
      execFileSync(args[0] ?? '', args.slice(1), { encoding: 'utf8' })
        .trimEnd()
        .split('\n');
    assert.deepEqual(info('dpkg-deb', '--info', deb, 'conffiles'), settings);
    assert.deepEqual(info('rpm', '-qpc', rpm), settings);
  });

  test('the file names say version and machine', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const [debArch, rpmArch] = process.arch === 'x64' ? ['amd64', 'x86_64'] : ['arm64', 'aarch64'];
    assert.ok(deb.endsWith(`/kleidi_${version}_${debArch}.deb`), deb);
    assert.ok(rpm.endsWith(`/kleidi-${version}-1.${rpmArch}.rpm`), rpm);
  });

  test('the rpm asks for nothing that only kleidi itself has, and offers no library', () => {
    const list = (what: string): string[] =>
      execFileSync('rpm', ['-qp', what, rpm], { encoding: 'utf8' }).trimEnd().split('\n');
    const provided = list('--provides');
    assert.ok(
      provided.every((each) => /^(config\()?kleidi/.test(each)),
      provided.join(),
    );
    for (const each of list('--requires').filter((line) => line.includes('kleidi'))) {
      assert.ok(provided.includes(each), each);
    }
  });

  test('no path of this machine and no key is in any file', () => {
    const paths = ['node_modules', 'src', 'packaging', 'dist'].flatMap((name) => [
      '-e',
      join(root, name),
    ]);
    const found = (...args: string[]): string =>
      spawnSync('grep', ['-rl', ...args, folder]).stdout.toString();
    assert.equal(found('-F', ...paths), '');
    assert.equal(found('-E', '^-----BEGIN [A-Z ]*PRIVATE KEY-----$'), '');
    assert.deepEqual(globSync(join(folder, '**/*.{cred,object,pem,log}')), []);
  });

  test('every link of the installed pages leads to an installed page', () => {
    const paths = filesOf(inDeb);
    const pages = paths.filter((path) => /\/doc\/kleidi\/[^/]+\.md$/.test(path));
    assert.ok(pages.length > 5);
    for (const path of pages) {
      const text = readFileSync(join(folder, path), 'utf8');
      for (const [, link = ''] of text.matchAll(/\]\(([a-zA-Z][\w./-]*)(?:#[\w-]*)?\)/g)) {
        assert.ok(paths.includes(join('/usr/share/doc/kleidi', link)), `${path}: ${link}`);
      }
    }
  });

  test('the program runs on its own Node, with its own add-ons', () => {
    const lib = join(folder, 'usr/lib/kleidi');
    const run = (...args: string[]): string =>
      execFileSync(join(lib, 'bin/node'), args, { encoding: 'utf8', cwd: '/', env: {} });
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const said = JSON.parse(run(join(lib, 'kleidi.js'), 'version', '--json')) as { kleidi: string };
    assert.equal(said.kleidi, version);
    for (const addon of ['pkcs11js', 'sd-notify', 'unix-dgram']) {
      run('-e', `require('${lib}/node_modules/${addon}')`);
    }
  });

  test('the bill of materials names what is shipped, and nothing else', () => {
    interface Component {
      readonly name: string;
      readonly version: string;
      readonly hashes: readonly { readonly content: string }[];
    }
    const bill = readFileSync(join(folder, 'usr/share/doc/kleidi/sbom.cdx.json'), 'utf8');
    const { components } = JSON.parse(bill) as { components: Component[] };
    const named = new Map(components.map((each) => [each.name, each]));
    for (const path of globSync(join(folder, 'usr/lib/kleidi/node_modules/*/package.json'))) {
      const { name, version } = JSON.parse(readFileSync(path, 'utf8'));
      assert.equal(named.get(name)?.version, version);
    }
    for (const name of ['@grpc/grpc-js', 'protobufjs', 'pino', 'yaml', 'convict']) {
      assert.ok(named.has(name), name);
    }
    for (const name of ['esbuild', 'typescript', 'fast-check', 'nan', '@biomejs/cli-linux-x64']) {
      assert.ok(!named.has(name), name);
    }
    const node = readFileSync(join(folder, 'usr/lib/kleidi/bin/node'));
    const digest = createHash('sha256').update(node).digest('hex');
    assert.equal(named.get('node')?.hashes[0]?.content, digest);
  });

  test("the licenses of all that is shipped are there, kleidi's first", () => {
    const path = join(folder, 'usr/share/doc/kleidi/licenses.txt.gz');
    const text = execFileSync('zcat', [path], { encoding: 'utf8', maxBuffer: 8 << 20 });
    assert.match(text, /^=+\nkleidi \(Apache-2\.0\)\n=+\n\n\s+Apache License/);
    for (const part of [
      'BIP-39 word list (MIT)',
      'Node.js is licensed',
      'OpenSSL',
      'pkcs11js ',
      'sd-notify ',
    ]) {
      assert.ok(text.includes(part), part);
    }
    assert.ok(statSync(path).size > 20_000);
  });
}

test('a symbol that RHEL 9 or Debian 12 lack is found, an old one is not', () => {
  const symbols =
    'GLIBC_2.2.5 GLIBC_2.34 GLIBC_2.38 GLIBCXX_3.4.29 GLIBCXX_3.4.30 CXXABI_1.3.13 GLIBC_2.4';
  assert.deepEqual(tooNew(symbols), ['GLIBC_2.38', 'GLIBCXX_3.4.30']);
  assert.deepEqual(tooNew('GLIBC_3.0 GLIBC_PRIVATE GCC_3.0'), ['GLIBC_3.0']);
});
