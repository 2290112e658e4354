// `kleidi provision --choices FILE`: what the package calls, on a real SoftHSM.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { diagnose, found } from '../support/diagnosis.ts';
import { TestHost } from '../support/host.ts';
import { newHybridKey, writePublic } from '../support/recoveryset.ts';

class ChoosingHost extends TestHost {
  readonly choices = join(this.folder, 'install.conf');

  choose(...lines: readonly string[]): ReturnType<TestHost['run']> {
    writeFileSync(this.choices, lines.map((line) => `${line}\n`).join(''));
    return this.run('provision', '--choices', this.choices);
  }

  get configuration(): string {
    return join(this.folder, 'encryption-config.yaml');
  }
}

test('ring name and recovery key: the first KEK has them, and the PIN a way back', async () => {
  const host = new ChoosingHost();
  const key = newHybridKey();
  const pub = join(host.folder, 'recovery.pub');
  writePublic(pub, key);
  const lines = [
    'RING=prod',
    `RECOVERY_KEY=${pub}`,
    `RECOVERY_FINGERPRINT=${key.fingerprint}`,
  ] as const;
  const first = await host.choose(...lines);
  assert.equal(first.exitCode, 0, first.stderr);
  assert.match(first.stdout, /^provisioned: ring 'prod', generation 1$/m);
  assert.doesNotMatch(first.stderr, /warning/);
  assert.deepEqual(
    host.ring.keks.map(({ state, recovery }) => [state, recovery]),
    [['write', key.fingerprint]],
  );
  assert.ok(existsSync(join(host.folder, 'state/pin.recovery.json')));
  assert.match(readFileSync(host.configuration, 'utf8'), /unix:\/\//);
  const ring = readFileSync(host.ringPath, 'utf8');
  assert.equal((await host.choose(...lines)).exitCode, 0);
  assert.equal(readFileSync(host.ringPath, 'utf8'), ring);
});

test('without the file the defaults hold, and the warning about a KEK without recovery', async () => {
  const host = new ChoosingHost();
  const { exitCode, stderr } = await host.run('provision', '--choices', host.choices);
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual([host.ring.ring, host.ring.generation], ['kleidi', 1]);
  assert.match(stderr, /warning: KEK [0-9a-f]{32} has no recovery/);
});

test('FIRST_KEK=no, then a correction: name and KEK are taken, and the KEK stays', async () => {
  const host = new ChoosingHost();
  assert.equal((await host.choose('RING=prod', 'FIRST_KEK=no')).exitCode, 0);
  assert.deepEqual([host.ring.ring, host.ring.generation], ['prod', 0]);
  assert.match((await host.choose('FIRST_KEK=no')).stdout, /nothing changed/);
  assert.equal((await host.choose('FIRST_KEK=yes')).exitCode, 0);
  assert.deepEqual([host.ring.ring, host.ring.generation], ['prod', 1], 'the name stays');
  assert.match((await host.choose('FIRST_KEK=no')).stdout, /nothing changed/);
  assert.equal(host.ring.generation, 1);
});

test('a file with mistakes: exit 78, all of them, and nothing on disk', async () => {
  const host = new ChoosingHost();
  const before = readdirSync(host.folder).length;
  const { exitCode, stderr, stdout } = await host.choose('RING=Prod', 'FIRST=no', 'ROLE=offline');
  assert.equal(exitCode, 78);
  assert.equal(stdout, '');
  assert.equal(stderr.match(/^ {2}line \d: /gm)?.length, 3, stderr);
  assert.match(
    stderr,
    /hint: correct the file; kleidi provision --choices .*\.conf --check says .*\n$/,
  );
  assert.equal(readdirSync(host.folder).length, before + 1, 'the file itself');
});

test('an offline machine: nothing is made, --check says so, and a ring that is there is refused', async () => {
  const host = new ChoosingHost();
  const before = readdirSync(host.folder).length;
  const { exitCode, stdout } = await host.choose('ROLE=offline');
  assert.equal(exitCode, 0);
  assert.match(stdout, /^an offline machine: no token, ring or service was made\n$/);
  assert.equal(readdirSync(host.folder).length, before + 1);
  const check = await host.run('provision', '--choices', host.choices, '--check');
  assert.equal(check.stdout, 'ROLE=offline\n');
  assert.equal((await host.run('provision')).exitCode, 0);
  const refused = await host.choose('ROLE=offline');
  assert.equal(refused.exitCode, 1);
  assert.match(
    refused.stderr,
    /ROLE=offline, but this host was provisioned .*ring\.json, a token, PINs;/,
  );
});

test('--choices stands alone, and --check with it', async () => {
  const host = new ChoosingHost();
  for (const more of [['--ring', 'prod'], ['--token-only'], ['--recovery', 'recovery.pub']]) {
    const { exitCode, stderr } = await host.run('provision', '--choices', host.choices, ...more);
    assert.equal(exitCode, 2, more.join(' '));
    assert.match(stderr, /only one of --choices FILE, --/);
  }
  assert.equal((await host.run('provision', '--check')).exitCode, 2);
  assert.ok(!existsSync(host.ringPath));
});

test('the documented example is right, as it is and with every line of it chosen', async () => {
  const host = new ChoosingHost();
  const text = readFileSync('docs/install.conf', 'utf8');
  writeFileSync(host.choices, text);
  const check = (): ReturnType<TestHost['run']> =>
    host.run('provision', '--choices', host.choices, '--check');
  assert.equal((await check()).stdout, 'ROLE=master\nFIRST_KEK=yes\n');
  const key = newHybridKey();
  const pub = join(host.folder, 'recovery.pub');
  writePublic(pub, key);
  const all = text
    .replace(/^#([A-Z_]+=)/gm, '$1')
    .replace('/root/recovery.pub', pub)
    .replace('0'.repeat(64), key.fingerprint);
  writeFileSync(host.choices, all);
  const { stdout, stderr } = await check();
  assert.equal(
    stdout,
    `ROLE=master\nRING=kleidi\nFIRST_KEK=yes\nRECOVERY_KEY=${pub}\nRECOVERY_FINGERPRINT=${key.fingerprint}\n`,
    stderr,
  );
});

test('doctor: an offline machine lacks nothing; one that has a ring, and a file with mistakes, are told', async () => {
  const host = new ChoosingHost();
  await host.choose('ROLE=offline');
  const { exitCode, findings } = await diagnose(host);
  assert.equal(exitCode, 0, JSON.stringify(findings));
  const severities = findings
    .filter(({ group }) => !/^(?:unit|host|selinux)$/.test(group))
    .map(({ severity }) => severity);
  assert.deepEqual([...new Set(severities)], ['ok']);
  found(findings, 'ok', /^an offline machine: kleidi recovery works here/, /^$/);

  chmodSync(host.choices, 0o666);
  found((await diagnose(host)).findings, 'fail', /install\.conf has mode 0666/, /^chmod 0755/);
  chmodSync(host.choices, 0o644);

  await host.choose('RING=prod', 'ROLE=offline');
  found((await diagnose(host)).findings, 'fail', /line 1: RING has no meaning/, /correct the file/);
  assert.equal((await host.run('provision')).exitCode, 0);
  const mistaken = (await diagnose(host, 'host')).findings;
  assert.ok(
    mistaken.every(({ severity }) => severity !== 'fail'),
    'what it has is as it was',
  );
  await host.choose('ROLE=offline');
  const contradicted = (await diagnose(host)).findings;
  found(contradicted, 'fail', /ROLE=offline, and this host has a ring/, /set ROLE=master/);
  found(contradicted, 'ok', /token 'kleidi' opens/, /^$/);
});
