// kleidi backup and restore: what is in the file, and that a restore never takes
// a host back behind what it has announced.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { publicKeyOfObject } from '../../src/keyring/publickey.ts';
import { formatRing } from '../../src/keyring/ring.ts';
import { TestHost } from '../support/host.ts';

const recovery = generateKeyPairSync('rsa', { modulusLength: 4096 });
const { recipient } = publicKeyOfObject(recovery.publicKey);

async function recoverable(): Promise<TestHost> {
  const host = new TestHost();
  const pub = join(host.folder, 'recovery.pub');
  writeFileSync(pub, recovery.publicKey.export({ type: 'spki', format: 'pem' }));
  await good(host, 'provision', '--ring', 'test', '--recovery', `${pub}=${recipient}`);
  await good(host, 'key', 'create', '--recovery', pub);
  return host;
}

async function good(host: TestHost, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await host.run(...args);
  assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

async function refused(host: TestHost, reason: RegExp, ...args: string[]): Promise<void> {
  const before = existsSync(host.ringPath) ? readFileSync(host.ringPath, 'utf8') : '';
  const { exitCode, stderr } = await host.run(...args);
  assert.equal(exitCode, 1, args.join(' '));
  assert.match(stderr, reason);
  assert.match(stderr, /hint: /);
  const after = existsSync(host.ringPath) ? readFileSync(host.ringPath, 'utf8') : '';
  assert.equal(after, before);
}

function bundlesOf(host: TestHost): Record<string, string> {
  const folder = join(host.folder, 'state/bundles');
  return Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  );
}

test('a backup holds ring, bundles and configuration, no PIN and no token, for its owner alone', async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  const told = JSON.parse(await good(host, 'backup', '--out', file, '--json')) as object;
  assert.deepEqual(told, { file, ring: 'test', generation: 1, keks: 2, bundles: 2 });
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const text = readFileSync(file, 'utf8');
  assert.ok(!text.includes(host.pin));
  assert.ok(!text.includes(readFileSync(join(host.folder, 'so-pin'), 'utf8')));
  const saved = JSON.parse(text) as { ring: unknown; configuration: { name: string }[] };
  assert.deepEqual(saved.ring, host.ring);
  assert.deepEqual(
    saved.configuration.map(({ name }) => name),
    [host.configPath, host.softhsmConf],
  );
  await refused(host, /exists already/, 'backup', '--out', file);
  assert.equal((await host.run('backup')).exitCode, 2);
});

test('a restore puts back what is missing, and refuses over anything newer', async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  await good(host, 'backup', '--out', file);
  const [ring, bundles] = [host.ring, bundlesOf(host)];
  const second = ring.keks.find((kek) => kek.state === 'staged')?.fp ?? '';

  // The ring file is lost or damaged: the operator says which generation was the last.
  for (const damage of [() => rmSync(host.ringPath), () => writeFileSync(host.ringPath, '')]) {
    damage();
    rmSync(join(host.folder, 'state/bundles'), { recursive: true });
    await refused(host, /no ring to tell which generation was the last/, 'restore', file);
    await good(host, 'restore', file, '--generation', '1');
    assert.deepEqual(host.ring, ring);
    assert.deepEqual(bundlesOf(host), bundles);
  }
  await good(host, 'restore', file);
  // Above the backup's generation its states are not known: two members would announce
  // two write KEKs under one generation.
  await refused(host, /which KEK generation 9 writes with/, 'restore', file, '--generation', '9');
  await good(host, 'restore', file, '--generation', '9', '--all-lost');
  assert.equal(host.ring.generation, 9);
  await refused(host, /it is of generation 1, this host has 9/, 'restore', file);
  await refused(host, /this host has 9/, 'restore', file, '--generation', '20', '--all-lost');

  // Not even where the file is gone, while a daemon knows better.
  const daemon = await host.serve();
  rmSync(host.ringPath);
  await refused(host, /this host has 9/, 'restore', file, '--generation', '9', '--all-lost');
  await daemon.stop();

  writeFileSync(host.ringPath, formatRing(ring));
  await good(host, 'key', 'create', '--recovery', join(host.folder, 'recovery.pub'));
  await refused(host, /is in the ring here, and not in the backup/, 'restore', file);
  await good(host, 'key', 'promote', second);
  await refused(host, /it is of generation 1, this host has 2/, 'restore', file);

  const other = new TestHost();
  await good(other, 'provision', '--ring', 'dev', '--token-only');
  await refused(other, /it is the ring 'test', this host has ring 'dev'/, 'restore', file);
});

test('on a bare host: the configuration, then a token, then the ring', async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  await good(host, 'backup', '--out', file);
  const texts = [host.configPath, host.softhsmConf].map((path) => readFileSync(path, 'utf8'));
  const ring = host.ring;
  for (const name of ['state', 'pin', 'so-pin', 'kleidi.yaml', 'softhsm2.conf']) {
    rmSync(join(host.folder, name), { recursive: true });
  }
  await good(host, 'restore', file, '--config-only');
  assert.deepEqual(
    [host.configPath, host.softhsmConf].map((path) => readFileSync(path, 'utf8')),
    texts,
  );
  assert.ok(!existsSync(host.ringPath));
  await good(host, 'provision', '--ring', 'test', '--token-only');
  await refused(host, /no ring to tell which/, 'restore', file);
  await good(host, 'restore', file, '--generation', '4', '--all-lost');
  assert.deepEqual(host.ring, { ...ring, generation: 4 });
  assert.equal(Object.keys(bundlesOf(host)).length, 2);
});

test('a damaged or foreign backup is refused, and no file outside is written', async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  await good(host, 'backup', '--out', file);
  const text = readFileSync(file, 'utf8');
  const bad = join(host.folder, 'bad.json');
  const outside = join(host.folder, 'outside.json');
  for (const [changed, reason] of [
    [text.replace('"generation": 1', '"generation": 2'), /checksum is wrong/],
    [text.slice(0, -200), /not JSON/],
    [text.replace('kleidi-backup', 'something'), /no backup of kleidi/],
    [formatRing(host.ring), /no backup of kleidi/],
    ['', /not JSON/],
  ] as const) {
    writeFileSync(bad, changed);
    await refused(host, reason, 'restore', bad);
  }
  // Whoever makes a backup by hand makes the checksum, too: names are looked at even so.
  const { formatBackup, parseBackup } = await import('../../src/keyring/backup.ts');
  const backup = parseBackup(text, file);
  writeFileSync(
    bad,
    formatBackup({ ...backup, bundles: [{ name: '../../outside.json', text: '' }] }),
  );
  await refused(host, /a field of it is not right/, 'restore', bad);
  const planted = { name: outside, text: 'planted' };
  writeFileSync(bad, formatBackup({ ...backup, configuration: [planted] }));
  await good(host, 'restore', bad);
  assert.ok(!existsSync(outside));
  await refused(host, /cannot be read/, 'restore', join(host.folder, 'none.json'));
});
