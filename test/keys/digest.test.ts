// kleidi ring digest --expect: a gate for scripts, which shows no other digest than the
// one that was expected.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { TestHost } from '../support/host.ts';

const other = `sha256:${'0'.repeat(64)}`;

test('the expected digest is printed; in place of another one nothing is', async () => {
  const host = await TestHost.provisioned();
  const digest = (await host.run('ring', 'digest')).stdout.trim();
  const gate = (wanted: string, ...more: string[]) =>
    host.run('ring', 'digest', '--expect', wanted, ...more);
  assert.equal((await gate(digest)).stdout.trim(), digest);
  const good = await gate(digest, '--json');
  assert.deepEqual(JSON.parse(good.stdout), { digest, isExpected: true });
  for (const more of [[], ['--json'], ['--openable'], ['--named', '--json']]) {
    const { exitCode, stdout, stderr } = await gate(other, ...more);
    assert.equal(exitCode, 1, more.join(' '));
    assert.ok(!(stdout + stderr).includes(digest), more.join(' '));
    if (more.includes('--json')) assert.deepEqual(JSON.parse(stdout), { isExpected: false });
    else assert.equal(stdout, '');
  }
});

test('a pipe in place of the record of a key create is not waited for', async () => {
  const host = await TestHost.provisioned();
  const before = (await host.run('key', 'list', '--json')).stdout;
  execFileSync('mkfifo', [join(dirname(host.ringPath), 'key-create.json')]);
  const { exitCode, stderr } = await host.run('key', 'create');
  assert.equal(exitCode, 1);
  assert.match(stderr, /the record of a key create cannot be read: .* is not a regular file/);
  assert.equal((await host.run('key', 'list', '--json')).stdout, before);
});
