// What is asked of a person at a terminal: the passphrase, unseen, and whether a
// fingerprint is the right one.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openRecoveryKey } from '../../src/keyring/recoverykey.ts';
import { everythingOf, makeRecovery, requestOf, tokenOnlyHost } from '../support/ceremony.ts';
import { temporaryFolder } from '../support/folder.ts';
import { kleidi } from '../support/kleidi.ts';
import { passphrase } from '../support/recoveryset.ts';
import { missingTool } from '../support/skip.ts';
import { atTerminal } from '../support/terminal.ts';

const skip = missingTool('python3');
const folder = temporaryFolder();
const first = 'six random words are made): ';
const ofKey = 'passphrase of the recovery key: ';
const again = 'the same passphrase again: ';

test('the passphrase is asked for twice and never shown', { skip }, async () => {
  const out = join(folder, 'asked');
  // With a slip of the finger that is taken back, of two bytes in UTF-8.
  const typed = `${passphrase}é\x7f\r`;
  const answers = [
    [first, typed],
    [again, `${passphrase}\r`],
  ] as const;
  const { exitCode, shown } = await atTerminal(answers, 'recovery', 'create', '--out', out);
  assert.equal(exitCode, 0, shown);
  assert.ok(!shown.includes(passphrase.slice(-9)), shown);
  assert.equal(statSync(`${out}.key`).mode & 0o777, 0o600);
  const key = await openRecoveryKey(`${out}.key`, Buffer.from(passphrase));
  assert.ok(shown.includes(key.fingerprint));
});

test('six words are made on Enter or by name, shown once, and typed again from the paper', {
  skip,
}, async () => {
  const words = '(?: {4})((?:[a-z]+ ){5}[a-z]+)';
  const made = new Set<string>();
  const ways: readonly (readonly [string, readonly (readonly [string, string])[], string[]])[] = [
    ['enter', [[first, '\r']], []],
    ['named', [], ['--generate-passphrase']],
  ];
  for (const [name, before, more] of ways) {
    const out = join(folder, name);
    const args = ['recovery', 'create', '--out', out, ...more];
    const { exitCode, shown } = await atTerminal(
      [...before, [again, `<echo ${words}>\r`]],
      ...args,
    );
    assert.equal(exitCode, 0, shown);
    const [, passphrase = ''] = new RegExp(words).exec(shown) ?? [];
    assert.equal(shown.split(passphrase).length, 2, 'shown once');
    assert.doesNotMatch(readFileSync(`${out}.key`, 'utf8'), new RegExp(passphrase));
    const key = await openRecoveryKey(`${out}.key`, Buffer.from(passphrase));
    assert.ok(shown.includes(key.fingerprint));
    made.add(passphrase);
  }
  assert.equal(made.size, 2);
  const out = join(folder, 'slip');
  const slip = [[again, `<echo ${words}> \r`]] as const;
  const args = ['recovery', 'create', '--out', out, '--generate-passphrase'];
  assert.equal((await atTerminal(slip, ...args)).exitCode, 1);
  assert.ok(!existsSync(`${out}.key`));
});

test('two that differ, a short one, and Ctrl-C write nothing', { skip }, async () => {
  const out = join(folder, 'never');
  const create = ['recovery', 'create', '--out', out];
  const cases: readonly (readonly (readonly [string, string])[])[] = [
    [
      [first, `${passphrase}\r`],
      [again, `${passphrase}s\r`],
    ],
    [[first, 'short\r']],
    [[first, `${passphrase}\x03`]],
  ];
  for (const answers of cases) {
    const { exitCode, shown } = await atTerminal(answers, ...create);
    assert.equal(exitCode, 1, shown);
    assert.ok(!shown.includes(passphrase.slice(-9)), shown);
    assert.ok(!existsSync(`${out}.key`) && !existsSync(`${out}.pub`));
  }
});

test('without a terminal the passphrase comes from a descriptor, or the command says so', async () => {
  const out = join(folder, 'plain');
  const made = ['--generate-passphrase'];
  for (const more of [
    [],
    ['--passphrase-fd', 'x'],
    ['--passphrase', passphrase],
    made,
    [...made, '--passphrase-fd', '0'],
  ]) {
    const { exitCode, stdout, stderr } = await kleidi([
      'recovery',
      'create',
      '--out',
      out,
      ...more,
    ]);
    assert.equal(exitCode, 2, stderr);
    assert.doesNotMatch(stdout + stderr, /(?:[a-z]+ ){5}[a-z]+\n\n/);
  }
  const nowhere = ['recovery', 'create', '--out', out, '--passphrase-fd', '77'];
  assert.equal((await kleidi(nowhere)).exitCode, 1);
  const short = ['recovery', 'create', '--out', out, '--passphrase-fd', '0'];
  assert.equal((await kleidi(short, { input: 'short\n' })).exitCode, 1);
  assert.ok(!existsSync(`${out}.key`));
});

test('an existing recovery key is not replaced', async () => {
  const { key, pub } = await makeRecovery(folder, 'kept');
  const before = readFileSync(key);
  writeFileSync(pub, 'another');
  const args = ['recovery', 'create', '--out', join(folder, 'kept'), '--passphrase-fd', '0'];
  const { exitCode, stderr } = await kleidi(args, { input: passphrase });
  assert.equal(exitCode, 1);
  assert.match(stderr, /exists already/);
  assert.deepEqual(readFileSync(key), before);
});

test('a fingerprint that was not named is asked about: only yes goes on', { skip }, async () => {
  const recovery = await makeRecovery(folder, 'confirmed');
  const [host, other] = await Promise.all([tokenOnlyHost(), tokenOnlyHost()]);
  const request = await requestOf(other);
  const out = join(folder, 'confirmed.bundle');
  const files = ['--for', request.path, '--recovery', recovery.pub, '--out', out];
  const create = ['key', 'create', ...files, '--config', host.configPath];
  const question = 'type yes to go on: ';
  const before = await everythingOf(host);
  for (const answer of ['no\n', '\n', 'y\n']) {
    const { exitCode, shown } = await atTerminal([[question, answer]], ...create);
    assert.equal(exitCode, 1, shown);
    for (const fingerprint of [request.sha256, recovery.sha256]) {
      assert.ok(shown.includes(fingerprint), shown);
    }
    assert.match(shown, /was not confirmed; nothing was changed/);
    assert.deepEqual(await everythingOf(host), before);
    assert.ok(!existsSync(out));
  }
  const { exitCode, shown } = await atTerminal([[question, 'yes\n']], ...create);
  assert.equal(exitCode, 0, shown);
  assert.ok(existsSync(out));

  // Asked, and then the passphrase, at one terminal.
  const bundle = join(host.folder, 'state/bundles', `${host.ring.keks[0]?.fp}.json`);
  const rewrapped = join(folder, 'confirmed.rewrapped');
  const rewrap = ['recovery', 'rewrap', bundle, '--key', recovery.key];
  const both = await atTerminal(
    [
      [question, 'yes\n'],
      [ofKey, `${passphrase}\r`],
    ],
    ...[...rewrap, '--for', request.path, '--out', rewrapped],
  );
  assert.equal(both.exitCode, 0, both.shown);
  assert.ok(!both.shown.includes(passphrase.slice(-9)), both.shown);
  assert.ok(existsSync(rewrapped));
});
