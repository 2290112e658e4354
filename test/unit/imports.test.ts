// The import rules of docs/design.md.
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const files = globSync('src/**/*.ts');
const statement =
  /(?:^import |^(?:import|export)\b[^;'=]*? from |\bimport\(|\bcreateRequire\([^)]*\)\()'([^']+)'/gm;

function importsOf(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(statement)].map(([, path = '']) => path);
}

function localImportsOf(file: string): string[] {
  return importsOf(file)
    .filter((path) => path.startsWith('.'))
    .map((path) => normalize(join(dirname(file), path)));
}

/** The folder under src, or '' for the files beside main.ts. */
function roomOf(file: string): string {
  return /^src\/([^/]+)\//.exec(file)?.[1] ?? '';
}

/** '' are the files beside main.ts. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  providers: ['', 'providers'],
  keyring: ['', 'keyring', 'providers'],
  http2: ['http2'],
  kms: ['', 'http2', 'kms', 'keyring', 'providers'],
  metrics: ['', 'metrics', 'kms', 'keyring', 'providers'],
  host: ['', 'host', 'metrics', 'kms', 'keyring', 'providers'],
  snapshot: ['', 'snapshot', 'keyring', 'providers'],
  apiserver: ['', 'apiserver'],
  container: ['', 'container'],
  doctor: ['', 'apiserver', 'doctor', 'host', 'kms', 'keyring', 'providers'],
  tokenchild: ['', 'tokenchild', 'host', 'snapshot', 'keyring', 'providers'],
  admin: [
    ...['', 'admin', 'tokenchild', 'apiserver', 'snapshot'],
    ...['host', 'kms', 'keyring', 'providers'],
  ],
  cli: [
    ...['', 'cli', 'admin', 'tokenchild', 'apiserver', 'container', 'doctor', 'snapshot'],
    ...['host', 'kms', 'keyring', 'providers'],
  ],
  '': [''],
};

test('imports go one way: cli, admin, tokenchild; host, kms, keyring, providers', () => {
  for (const file of files.filter((each) => each !== 'src/main.ts')) {
    for (const path of localImportsOf(file)) {
      assert.ok(mayImport[roomOf(file)]?.includes(roomOf(path)), `${file} imports ${path}`);
    }
  }
});

test('errors.ts and provider.ts import nothing, and only main.ts imports cli', () => {
  for (const file of ['src/errors.ts', 'src/providers/provider.ts']) {
    assert.deepEqual(importsOf(file), [], file);
  }
  assert.ok(localImportsOf('src/main.ts').every((path) => ['', 'cli'].includes(roomOf(path))));
});

const owners: Readonly<Record<string, RegExp>> = {
  pkcs11js: /^src\/providers\/pkcs11\//,
  '@grpc/grpc-js': /^src\/(kms\/|admin\/daemonclient\.ts)/,
  protobufjs: /^src\/kms\/contract\.ts/,
  undici: /^src\/providers\/vault\/http\.ts/,
  pino: /^src\/log\.ts/,
  convict: /^src\/config\.ts/,
  'sd-notify': /^src\/host\/systemd\.ts/,
  'unix-dgram': /^src\/journal\.ts/,
  yaml: /^src\/(config|cli\/(?:config|manifests)|apiserver\/(?:(?:distributions|live)\/)?\w+)\.ts/,
  diff: /^src\/apiserver\/difference\.ts/,
};

test('each dependency has one owner', () => {
  for (const file of files) {
    for (const path of importsOf(file).filter((each) => !/^(node:|\.)/.test(each))) {
      assert.match(file, owners[path] ?? /^$/, `${file} imports ${path}`);
    }
  }
});

test('only commands and their children write to the terminal', () => {
  for (const file of files.filter((each) => localImportsOf(each).includes('src/terminal.ts'))) {
    assert.match(file, /^src\/(?:main\.ts$|cli\/|admin\/|tokenchild\/)/);
  }
});

test('serve reaches no code that changes a host or writes a token', () => {
  const reached = new Set(['src/cli/serve.ts']);
  for (const file of reached) for (const path of localImportsOf(file)) reached.add(path);
  assert.ok(reached.has('src/providers/pkcs11/pkcs11.ts'));
  for (const file of reached) {
    assert.doesNotMatch(
      file,
      /^src\/(?:admin|tokenchild|apiserver|container|snapshot|doctor)\/|\/write\//,
    );
  }
});

test('the code that writes a token is in one folder', () => {
  const writing =
    /\.C_(?:CreateObject|GenerateKey|GenerateKeyPair|UnwrapKey|InitToken|InitPIN|SetPIN|SetAttributeValue)\b/;
  const found = files.filter((each) => writing.test(readFileSync(each, 'utf8')));
  assert.ok(found.length > 0);
  for (const file of found) assert.match(file, /^src\/providers\/pkcs11\/write\//);
});

test('how kube-apiserver is run is asked in src/apiserver/distributions alone', () => {
  const branch =
    /'(?:kubeadm|rke2|k3s)'|[!=]==? 'unit'|case 'unit'|\b(?:kubeadm|rke2|k3s): |\.name [!=]==? '/;
  const outside = (file: string): boolean =>
    /^src\/(?:apiserver|admin\/apiserver|cli|doctor)\//.test(file) &&
    !file.startsWith('src/apiserver/distributions/');
  // What people read may name them.
  const code = (file: string): string => readFileSync(file, 'utf8').replace(/`[^`]*`/g, '``');
  assert.match(code('src/apiserver/distributions/rancher.ts'), branch);
  for (const file of files.filter(outside)) assert.doesNotMatch(code(file), branch, file);
});

/** Files whose code, not what people read, has such a text. */
function having(text: RegExp): string[] {
  const comment = /^\s*(?:\/\/|\/?\*).*$/gm;
  return files.filter((file) => text.test(readFileSync(file, 'utf8').replace(comment, '')));
}

test('one idea has one home', () => {
  // A CKA_ID is no text that a key answers.
  const object = 'src/providers/pkcs11/write/template.ts';
  const separation = having(/['"`]kleidi\/v\d+ /).filter((file) => file !== object);
  assert.deepEqual(separation, ['src/providers/domainseparation.ts']);
  assert.deepEqual(having(/tokendir|libsofthsm|\/softhsm\//), ['src/softhsm.ts']);
  assert.deepEqual(having(/\balg: 0x0\d|\b(?:pkcs11|vault): 0x0\d/), [
    'src/providers/algorithm.ts',
  ]);
  const reason = /instanceof Error \? \w+\.message\b/;
  assert.deepEqual(having(reason), ['src/errors.ts']);
});

test('nothing imports in a circle, types included', () => {
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), [...path.slice(path.indexOf(file)), file].join(' -> '));
    if (done.has(file) || !file.endsWith('.ts')) return;
    for (const next of localImportsOf(file)) walk(next, [...path, file]);
    done.add(file);
  };
  for (const file of files) walk(file, []);
});

test('every form of import is seen', () => {
  const found = (file: string): string[] => importsOf(`src/${file}`);
  assert.ok(found('host/daemon.ts').includes('./reconciler.ts'), 'import');
  assert.ok(found('kms/service.ts').includes('./serving.ts'), 'import type');
  assert.ok(found('keyring/ringfile.ts').includes('../files.ts'), 'import of several names');
  assert.ok(found('providers/open.ts').includes('./pkcs11/pkcs11.ts'), 'import()');
  assert.ok(found('version.ts').includes('../package.json'), 'import with');
  assert.ok(found('host/systemd.ts').includes('sd-notify'), 'createRequire');
  assert.ok(found('journal.ts').includes('unix-dgram'), 'createRequire');
  const packages = files.flatMap(importsOf).filter((path) => !/^(node:|\.)/.test(path));
  assert.deepEqual([...new Set(packages)].sort(), Object.keys(owners).sort());
});

test('every local import names a file that exists, so that no rule is passed by a misread name', () => {
  for (const file of files) {
    for (const path of localImportsOf(file)) assert.ok(existsSync(path), `${file} imports ${path}`);
  }
});

test('no file but the owners of add-ons imports what the rules above cannot see', () => {
  // load.ts loads the whole program, and nothing loads it.
  const owning = ['src/host/systemd.ts', 'src/journal.ts', 'src/load.ts'];
  for (const file of files.filter((each) => !owning.includes(each))) {
    const text = readFileSync(file, 'utf8');
    // An import of a computed name could be of anything.
    assert.doesNotMatch(text, /\bcreateRequire\b|\brequire\(|\bimport\((?!')/, file);
  }
});
