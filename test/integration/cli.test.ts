// The command line as an operator sees it: help, exit codes, output, secrets.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { type Bundle, recoveryContext } from '../../src/keyring/bundle.ts';
import { open } from '../../src/keyring/hybrid.ts';
import { fingerprintOfKey } from '../support/cmac.ts';
import { TestHost } from '../support/host.ts';
import { kleidi, program } from '../support/kleidi.ts';
import { newHybridKey, writePublic } from '../support/recoveryset.ts';

const verbs = [
  'serve',
  'provision',
  'status',
  'config',
  'key',
  'recovery',
  'ring',
  'snapshot',
  'version',
];

test('every verb explains itself with an example', async () => {
  for (const verb of verbs) {
    const { exitCode, stdout } = await kleidi([verb, '--help']);
    assert.equal(exitCode, 0, verb);
    assert.match(stdout, /^usage: kleidi /, verb);
    assert.match(stdout, /example: kleidi /, verb);
  }
  const { stdout } = await kleidi(['--help']);
  for (const verb of verbs) assert.ok(stdout.includes(verb), verb);
});

test('wrong use is exit 2 with a hint, a missing configuration is exit 78', async () => {
  for (const args of [
    ['frobnicate'],
    ['status', '--frob'],
    ['key'],
    ['ring', 'burn'],
    ['serve', 'x'],
  ]) {
    const { exitCode, stderr } = await kleidi(args);
    assert.equal(exitCode, 2, args.join(' '));
    assert.match(stderr, /^kleidi: error: .+\nkleidi: hint: .+/, args.join(' '));
  }
  assert.equal((await kleidi(['config', 'check', '--config', '/nonexistent'])).exitCode, 78);
});

test('config names every fault at once and never shows an inline PIN', async () => {
  const host = new TestHost({
    ring: 'relative',
    frob: 1,
    limits: { queue: -1 },
    pkcs11: { pin: 'hunter2-secret' },
  });
  for (const action of ['check', 'print']) {
    const { exitCode, stdout, stderr } = await host.run('config', action);
    assert.equal(exitCode, 78);
    for (const field of ['ring', 'frob', 'limits.queue', 'pkcs11.pin', host.configPath]) {
      assert.ok(stderr.includes(field), field);
    }
    assert.ok(!`${stdout}${stderr}`.includes('hunter2'));
  }
  host.configure({});
  assert.equal((await host.run('config', 'check')).exitCode, 0);
  const printed = await host.run('config', 'print', '--json');
  assert.ok(!printed.stdout.includes(host.pinPath));
  assert.equal((JSON.parse(printed.stdout) as { ring: string }).ring, host.ringPath);
});

test('status and ring digest --live say plainly that no daemon answers', async () => {
  const host = await TestHost.provisioned();
  for (const args of [['status'], ['ring', 'digest', '--live']]) {
    const { exitCode, stderr } = await host.run(...args);
    assert.equal(exitCode, 1);
    assert.match(stderr, /no kleidi daemon listens on/);
  }
});

test('a KEK wrapped for the recovery key opens offline to the key with that fingerprint', async () => {
  const host = await TestHost.provisioned();
  const key = newHybridKey();
  const file = join(host.folder, 'recovery.pub');
  const named = writePublic(file, key);
  const wrong = await host.run('key', 'create', '--recovery', `${file}=${'0'.repeat(64)}`);
  assert.equal(wrong.exitCode, 1);
  assert.equal(host.ring.keks.length, 1, 'a swapped recovery key changes nothing');

  const made = await host.run('key', 'create', '--recovery', named, '--json');
  assert.equal(made.exitCode, 0, made.stderr);
  const { fp, recovery } = JSON.parse(made.stdout) as { fp: string; recovery: string };
  const text = readFileSync(join(host.folder, `state/bundles/${fp}.json`), 'utf8');
  const [recipient] = (JSON.parse(text) as Bundle).keks[0]?.recipients ?? [];
  assert.equal(recipient?.recipient, recovery);
  assert.equal(recovery, key.fingerprint);
  const sealed = Buffer.from(recipient.wrapped, 'base64');
  const kek = open(sealed, key, recoveryContext(fp), { oaepHash: 'sha1' });
  assert.equal(kek.length, 32);
  assert.equal(fingerprintOfKey(kek), fp);
  assert.equal((await host.run('key', 'create')).exitCode, 1, 'the recovery key is pinned');
});

test('two commands that change the ring at once do so one after the other', async () => {
  const host = await TestHost.provisioned();
  const results = await Promise.all([host.run('key', 'create'), host.run('key', 'create')]);
  assert.deepEqual(
    results.map(({ exitCode }) => exitCode),
    [0, 0],
  );
  assert.equal(host.ring.keks.length, 3);
  const { stdout } = await host.run('key', 'list', '--json');
  const keks = JSON.parse(stdout) as Record<string, unknown>[];
  assert.ok(keks.every((kek) => kek['held'] && kek['sensitive'] && kek['extractable'] === false));
});

test('no output of any verb holds a PIN, and --json prints one object', async () => {
  const host = await TestHost.provisioned();
  const secrets = [host.pin, readFileSync(join(host.folder, 'so-pin'), 'utf8')];
  const calls = [
    ['provision'],
    ['key', 'list'],
    ['key', 'create'],
    ['ring', 'show'],
    ['ring', 'digest'],
    ['version'],
  ];
  for (const args of calls) {
    const { stdout, stderr } = await host.run(...args, '--json');
    assert.doesNotThrow(() => JSON.parse(stdout), args.join(' '));
    for (const secret of secrets) assert.ok(!`${stdout}${stderr}`.includes(secret), args.join(' '));
  }
});

test('config fields names every field with its meaning', async () => {
  const { exitCode, stdout } = await kleidi(['config', 'fields', '--json']);
  assert.equal(exitCode, 0);
  const fields = JSON.parse(stdout) as { name: string; doc: string }[];
  assert.ok(fields.some(({ name }) => name === 'pkcs11.pin'));
  for (const { name, doc } of fields) assert.ok(doc.length > 10, name);
});

test('a reader that has enough ends a command without a word', async () => {
  for (const args of [['version'], ['--help'], ['help', '--json'], ['key', '--help']]) {
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    assert.equal(await text(child.stderr), '', args.join(' '));
  }
});
