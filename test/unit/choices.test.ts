// install.conf: every mistake in one message, with its line; what is right is taken.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readChoices } from '../../src/admin/provision/choices.ts';
import { KleidiError } from '../../src/errors.ts';
import { temporaryFolder } from '../support/folder.ts';
import { newHybridKey, writePublic } from '../support/recoveryset.ts';

const folder = temporaryFolder();
const path = join(folder, 'install.conf');
const key = newHybridKey();
const pub = join(folder, 'recovery.pub');
writePublic(pub, key);
const recovery = [`RECOVERY_KEY=${pub}`, `RECOVERY_FINGERPRINT=${key.fingerprint}`];

function read(...lines: readonly string[]): ReturnType<typeof readChoices> {
  writeFileSync(path, lines.join('\n'));
  return readChoices(path);
}

async function refusal(...lines: readonly string[]): Promise<KleidiError> {
  const thrown: unknown = await read(...lines).catch((error: unknown) => error);
  assert.ok(thrown instanceof KleidiError, 'it is taken');
  assert.equal(thrown.code, 'config-invalid');
  assert.equal(thrown.kind.exit, 78);
  assert.match(thrown.hint ?? '', /kleidi provision --choices .*install\.conf/);
  return thrown;
}

const defaults = { role: 'master', ring: undefined, firstKek: undefined, recovery: undefined };

test('without a file, or with comments alone, the defaults hold', async () => {
  assert.deepEqual(await readChoices(join(folder, 'none.conf')), defaults);
  assert.deepEqual(await read('# RING=prod', '', '   # FIRST_KEK=no', '\t'), defaults);
});

test('all that a master may choose', async () => {
  const chosen = await read('ROLE=master', 'RING=prod', 'FIRST_KEK=no', ...recovery);
  assert.ok(chosen.role === 'master');
  assert.deepEqual([chosen.ring, chosen.firstKek], ['prod', false]);
  assert.equal(chosen.recovery?.fingerprint, key.fingerprint);
  assert.equal(chosen.recovery?.confirmed, true);
});

test('blanks around a line, CRLF and the sha256: of the fingerprint are no mistakes', async () => {
  const [file = '', fingerprint = ''] = recovery;
  const upper = fingerprint.toUpperCase().replace('=', '=sha256:');
  const chosen = await read('  RING=prod  \r', ' FIRST_KEK=yes\r', file, upper);
  assert.ok(chosen.role === 'master' && chosen.recovery !== undefined);
  assert.deepEqual([chosen.ring, chosen.firstKek], ['prod', true]);
});

test('an offline machine chooses nothing else', async () => {
  assert.deepEqual(await read('ROLE=offline'), { role: 'offline' });
});

test('all mistakes come at once, in the order of their lines, each with what is allowed', async () => {
  const { message } = await refusal(
    'RNG=prod',
    'RING="prod"',
    'FIRST_KEK=maybe',
    'FIRST_KEK=no',
    'export ROLE=master',
    'what',
    'ROLE=ofline',
    'RECOVERY_KEY=recovery.pub',
    'RECOVERY_FINGERPRINT=abcd',
  );
  const lines = message.split('\n').slice(1);
  const expected = [
    /^ {2}line 1: unknown key 'RNG'; allowed: ROLE, RING, FIRST_KEK, RECOVERY_KEY, RECOVERY_FINGER/,
    /^ {2}line 2: RING: '"prod"' is not allowed; allowed: 1 to 63 of a-z/,
    /^ {2}line 3: FIRST_KEK: 'maybe' is not allowed; allowed: yes or no/,
    /^ {2}line 4: FIRST_KEK is set in line 3 already/,
    /^ {2}line 5: unknown key 'export ROLE'/,
    /^ {2}line 6: 'what' is not KEY=value/,
    /^ {2}line 7: ROLE: 'ofline' is not allowed; allowed: master or offline/,
    /^ {2}line 8: RECOVERY_KEY: 'recovery\.pub' is not allowed; allowed: an absolute path/,
    /^ {2}line 9: RECOVERY_FINGERPRINT: 'abcd' is not allowed; allowed: the 64 hex digits/,
  ];
  assert.equal(lines.length, expected.length, message);
  for (const [index, words] of expected.entries()) assert.match(lines[index] ?? '', words);
});

test('a recovery key and its fingerprint come together, and are the same key', async () => {
  const [file = '', fingerprint = ''] = recovery;
  assert.match((await refusal(file)).message, /line 1: RECOVERY_KEY is without RECOVERY_FINGERP/);
  assert.match(
    (await refusal('', fingerprint)).message,
    /line 2: RECOVERY_FINGERPRINT is without RECOVERY_KEY/,
  );
  const other = `RECOVERY_FINGERPRINT=${'0'.repeat(64)}`;
  assert.match(
    (await refusal(file, other)).message,
    new RegExp(`line 1: .*not the expected recovery key.*${key.fingerprint}`),
  );
});

test('a recovery file that is none, or cannot be read, is a mistake of its line', async () => {
  const [, fingerprint = ''] = recovery;
  const none = join(folder, 'none.pub');
  assert.match((await refusal(`RECOVERY_KEY=${none}`, fingerprint)).message, /line 1: .*ENOENT/);
  const text = join(folder, 'text.pub');
  writeFileSync(text, 'no key');
  assert.match(
    (await refusal(`RECOVERY_KEY=${text}`)).message,
    /line 1: RECOVERY_KEY: .* is not a recovery key: /,
  );
  writeFileSync(text, '-----BEGIN PRIVATE KEY-----');
  assert.match(
    (await refusal(`RECOVERY_KEY=${text}`, fingerprint)).message,
    /it is a private key, which must stay offline/,
  );
});

test('ROLE=offline contradicts every other choice, each by its line', async () => {
  const { message } = await refusal('RING=prod', 'FIRST_KEK=no', ...recovery, 'ROLE=offline');
  for (const [index, name] of ['RING', 'FIRST_KEK', 'RECOVERY_KEY'].entries()) {
    assert.match(
      message,
      new RegExp(`line ${index + 1}: ${name} has no meaning with ROLE=offline`),
    );
  }
});

test('what is there and is no file is not taken for the defaults', async () => {
  const inFolder = join(folder, 'folder.conf');
  mkdirSync(inFolder);
  await assert.rejects(readChoices(inFolder), /cannot be read/);
});
