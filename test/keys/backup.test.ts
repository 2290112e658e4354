// kleidi backup and restore: what is in the file, and that a restore never takes
// a host back behind what it has announced.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Backup, formatBackup, parseBackup } from '../../src/keyring/backup.ts';
import { formatBundle } from '../../src/keyring/bundle.ts';
import { parseBundle } from '../../src/keyring/bundlefile.ts';
import { ringDigest } from '../../src/keyring/digest.ts';
import { formatRing } from '../../src/keyring/ring.ts';
import { everythingOf } from '../support/ceremony.ts';
import { TestHost } from '../support/host.ts';
import { knownKek, newHybridKey, writePublic } from '../support/recoveryset.ts';

const recovery = newHybridKey();

async function recoverable(): Promise<TestHost> {
  const host = new TestHost();
  const named = writePublic(join(host.folder, 'recovery.pub'), recovery);
  await good(host, 'provision', '--ring', 'test', '--recovery', named);
  await good(host, 'key', 'create', '--recovery', named);
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

/** Makes a backup. @returns the digest that it prints */
async function digestOf(host: TestHost, file: string): Promise<string> {
  return (await good(host, 'backup', '--out', file)).split('\n').at(-1) ?? '';
}

/** As somebody who can change the file does: its checksum is right. */
function change(from: string, path: string, edit: (backup: Backup) => Backup) {
  const changed = edit(parseBackup(readFileSync(from, 'utf8'), from));
  writeFileSync(path, formatBackup(changed));
  return { path, digest: ringDigest(changed.ring) };
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
  const digest = ringDigest(host.ring);
  assert.deepEqual(told, { file, ring: 'test', generation: 1, keks: 2, bundles: 2, digest });
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

test('where the ring is lost, a restore brings it back, and never behind what was announced', async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  const restore = ['restore', file, '--expect', await digestOf(host, file)];
  const [ring, bundles] = [host.ring, bundlesOf(host)];

  // The ring file is lost or damaged, and a backup does not know what the others have.
  const damages = [() => rmSync(host.ringPath), () => writeFileSync(host.ringPath, '')];
  for (const [i, damage] of damages.entries()) {
    damage();
    rmSync(join(host.folder, 'state/bundles'), { recursive: true });
    await refused(host, /no ring to tell what is true now/, ...restore);
    const lost = [...restore, '--all-lost', '--generation'];
    // An id that was announced is not announced again.
    await refused(host, new RegExp(`generation 1 is not above ${i + 1}, which`), ...lost, '1');
    await good(host, ...lost, String(i + 2));
    assert.deepEqual(host.ring, { ...ring, generation: i + 2 });
    assert.deepEqual(bundlesOf(host), bundles);
  }
  rmSync(host.ringPath);
  await good(host, ...restore, '--generation', '9', '--all-lost');
  assert.equal(host.ring.generation, 9);

  // Not even where the file is gone, while a daemon knows better.
  const daemon = await host.serve();
  rmSync(host.ringPath);
  await refused(host, /this host has 9/, ...restore, '--generation', '9', '--all-lost');
  assert.equal((await host.run(...restore, '--generation', '10')).exitCode, 2);
  await daemon.stop();
});

test('a ring that is here stays, whatever a backup says; missing bundles come back', async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  const restore = ['restore', file, '--expect', await digestOf(host, file)];
  const [ring, bundles] = [host.ring, bundlesOf(host)];
  rmSync(join(host.folder, 'state/bundles'), { recursive: true });
  await good(host, ...restore);
  assert.deepEqual(bundlesOf(host), bundles);
  assert.deepEqual(host.ring, ring);
  await refused(
    host,
    /this host has a ring, of generation 1/,
    ...restore,
    '--all-lost',
    '--generation',
    '9',
  );
  const second = ring.keks.find((kek) => kek.state === 'staged')?.fp ?? '';
  await good(host, 'key', 'promote', second);
  const later = readFileSync(host.ringPath, 'utf8');
  await good(host, ...restore);
  assert.equal(readFileSync(host.ringPath, 'utf8'), later);

  // A KEK that may be stolen, and is retired for that, is the write KEK of a changed backup.
  const first = ring.keks.find(({ fp }) => fp !== second)?.fp ?? '';
  await good(host, 'key', 'retire', first);
  const stolen = change(file, join(host.folder, 'stolen.json'), (saved) => ({
    ...saved,
    ring: {
      ...saved.ring,
      generation: 3,
      keks: saved.ring.keks.map((kek) => ({ ...kek, state: kek.fp === first ? 'write' : 'read' })),
    },
  }));
  await refused(host, /is not the expected ring/, 'restore', stolen.path, ...restore.slice(2));
  const before = readFileSync(host.ringPath, 'utf8');
  // Not even where the operator was told the wrong digest.
  await good(host, 'restore', stolen.path, '--expect', stolen.digest);
  assert.equal(readFileSync(host.ringPath, 'utf8'), before);

  const other = new TestHost();
  await good(other, 'provision', '--ring', 'dev');
  await refused(other, /is of the ring 'test', this host has ring 'dev'/, ...restore);
});

test('--check says what a backup brings back and what would be put here, and writes nothing', async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  const check = ['restore', file, '--check', '--json', '--expect', await digestOf(host, file)];
  const bundles = join(host.folder, 'state/bundles');
  const paths = readdirSync(bundles).map((name) => join(bundles, name));
  const checked = async (...more: string[]): Promise<Record<string, unknown>> => {
    const before = await everythingOf(host);
    const { exitCode, stdout, stderr } = await host.run(...check, ...more);
    assert.deepEqual(await everythingOf(host), before);
    assert.equal(exitCode, 0, stderr);
    const { created: _, ...found } = JSON.parse(stdout) as Record<string, unknown>;
    return found;
  };
  const whole = { ring: 'test', generation: 1, faults: [] };
  const same = { ...whole, putsRing: false, missing: [], differing: [] };
  assert.deepEqual(await checked(), same);

  rmSync(paths[0] ?? '');
  writeFileSync(paths[1] ?? '', '{}');
  const [missing, differing] = [paths.slice(0, 1), paths.slice(1)];
  assert.deepEqual(await checked(), { ...same, missing, differing });
  rmSync(bundles, { recursive: true });
  await refused(
    host,
    /is not the expected ring/,
    ...check.slice(0, -1),
    `sha256:${'0'.repeat(64)}`,
  );

  rmSync(host.ringPath);
  const lost = await checked('--all-lost', '--generation', '9');
  assert.deepEqual(lost, { ...same, putsRing: true, missing: paths });
  assert.deepEqual(await checked('--config-only'), { ...same, putsRing: null });
  await refused(host, /no ring to tell what is true now/, ...check);
});

test('--check of a backup that does not bring every KEK back', async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  const digest = await digestOf(host, file);
  const part = change(file, join(host.folder, 'part.json'), (saved) => ({
    ...saved,
    bundles: saved.bundles.slice(1),
  }));
  const lost = parseBackup(readFileSync(file, 'utf8'), file).bundles[0]?.name.replace('.json', '');
  const { exitCode, stdout } = await host.run('restore', part.path, '--check', '--expect', digest);
  assert.equal(exitCode, 1);
  assert.match(stdout, new RegExp(`KEK ${lost}: NOT covered: .*no bundle of it is here`));
});

test('a destroyed KEK takes its bundle along, and a backup from before brings neither back', async () => {
  const host = await recoverable();
  const [first = '', second = ''] = host.ring.keks.map(({ fp }) => fp);
  const file = join(host.folder, 'backup.json');
  const digest = await digestOf(host, file);
  const folder = join(host.folder, 'state/bundles');
  const both = join(folder, 'both.json');
  const bundles = [first, second].map((fp) => parseBundle(bundlesOf(host)[`${fp}.json`] ?? '', fp));
  const [old] = bundles;
  const keks = bundles.flatMap((bundle) => bundle.keks);
  writeFileSync(both, formatBundle(old ?? assert.fail(), keks, null));
  await good(host, 'key', 'promote', second);
  await good(host, 'key', 'retire', first);
  const destroyed = await host.run('key', 'destroy', first, '--no-scan', '--yes');
  assert.equal(destroyed.exitCode, 0, destroyed.stderr);
  assert.match(destroyed.stderr, /it is still in .*both\.json, with other KEKs/);
  assert.deepEqual(readdirSync(folder).sort(), [`${second}.json`, 'both.json'].sort());
  rmSync(both);
  await good(host, 'key', 'destroy', first, '--no-scan', '--yes');
  assert.doesNotMatch((await host.run('backup', '--out', `${file}.2`)).stderr, new RegExp(first));

  await good(host, 'restore', file, '--expect', digest);
  assert.deepEqual(readdirSync(folder), [`${second}.json`]);
  assert.equal(host.ring.keks.find(({ fp }) => fp === first)?.state, 'destroyed');
});

test("a stranger's KEK in a backup is found by the digest, a stranger's recovery part by the pin", async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  const digest = await digestOf(host, file);
  const { ring, ringId } = host.ring;
  const name = { ring, ringId: ringId ?? '' };
  const planted = knownKek(name, newHybridKey(), []);
  const { material: _, ...kek } = planted;
  const added = change(file, join(host.folder, 'added.json'), (saved) => ({
    ...saved,
    ring: {
      ...saved.ring,
      keks: [
        ...saved.ring.keks.map((each) => ({
          ...each,
          state: each.state === 'write' ? ('read' as const) : each.state,
        })),
        {
          ...{ fp: kek.fp, check: kek.check },
          state: 'write' as const,
          provider: 'pkcs11' as const,
          recovery: recovery.fingerprint,
          created: kek.created,
        },
      ],
    },
    bundles: [...saved.bundles, { name: `${kek.fp}.json`, text: formatBundle(name, [kek]) }],
  }));
  rmSync(host.ringPath);
  const bundles = bundlesOf(host);
  const all = ['--generation', '9', '--all-lost'];
  await refused(
    host,
    /is not the expected ring/,
    ...['restore', added.path, '--expect', digest],
    ...all,
  );
  const known = ['restore', added.path, '--expect', added.digest, ...all];
  await refused(host, /is wrapped for recovery key sha256:/, ...known);
  assert.deepEqual(bundlesOf(host), bundles);
});

test('on a bare host: the configuration, then a token, then the ring', async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  const restore = ['restore', file, '--expect', await digestOf(host, file)];
  const texts = [host.configPath, host.softhsmConf].map((path) => readFileSync(path, 'utf8'));
  const ring = host.ring;
  for (const name of ['state', 'pin', 'so-pin', 'kleidi.yaml', 'softhsm2.conf']) {
    rmSync(join(host.folder, name), { recursive: true });
  }
  await good(host, ...restore, '--config-only');
  assert.deepEqual(
    [host.configPath, host.softhsmConf].map((path) => readFileSync(path, 'utf8')),
    texts,
  );
  assert.ok(!existsSync(host.ringPath));
  await good(host, 'provision', '--ring', 'test', '--token-only');
  await refused(host, /no ring to tell what/, ...restore);
  await good(host, ...restore, '--generation', '4', '--all-lost');
  assert.deepEqual(host.ring, { ...ring, generation: 4 });
  assert.equal(Object.keys(bundlesOf(host)).length, 2);
});

test('a damaged or foreign backup is refused, and no file outside is written', async () => {
  const host = await recoverable();
  const file = join(host.folder, 'backup.json');
  const expect = ['--expect', await digestOf(host, file)];
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
    await refused(host, reason, 'restore', bad, ...expect);
  }
  // Whoever makes a backup by hand makes the checksum, too: names are looked at even so.
  const backup = parseBackup(text, file);
  writeFileSync(
    bad,
    formatBackup({ ...backup, bundles: [{ name: '../../outside.json', text: '' }] }),
  );
  await refused(host, /a field of it is not right/, 'restore', bad, ...expect);
  const planted = { name: outside, text: 'planted' };
  writeFileSync(bad, formatBackup({ ...backup, configuration: [planted] }));
  await good(host, 'restore', bad, ...expect);
  assert.ok(!existsSync(outside));
  assert.equal((await host.run('restore', file)).exitCode, 2, 'without a digest');
  await refused(host, /cannot be read/, 'restore', join(host.folder, 'none.json'), ...expect);
});
