// What commands ask of the daemon before they change a ring: one that does not
// answer is not one that is absent, and what it has announced binds the ring file.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { putRing } from '../support/servedring.ts';

interface Made {
  readonly fp: string;
}

interface State {
  readonly keks: readonly { readonly fp: string; readonly verified: boolean }[];
}

async function json<T>(host: TestHost, ...args: string[]): Promise<T> {
  const { stdout, stderr, exitCode } = await host.run(...args, '--json');
  assert.equal(exitCode, 0, stderr);
  return JSON.parse(stdout) as T;
}

test('a daemon that does not answer is not an absent one: nothing is changed', async () => {
  const host = await TestHost.provisioned();
  const daemon = await host.serve();
  const { fp } = await json<Made>(host, 'key', 'create');
  const before = readFileSync(host.ringPath, 'utf8');
  daemon.signal('SIGSTOP');
  try {
    const commands = [
      ['key', 'retire', fp],
      ['key', 'promote', fp],
      ['key', 'destroy', fp, '--no-scan', '--yes'],
    ];
    for (const command of commands) {
      const { exitCode, stderr } = await host.run(...command);
      assert.equal(exitCode, 1, command.join(' '));
      assert.match(stderr, /does not answer/);
      assert.match(stderr, /systemctl stop kleidi\.socket/);
      assert.equal(readFileSync(host.ringPath, 'utf8'), before, command.join(' '));
    }
  } finally {
    daemon.signal('SIGCONT');
  }
  await json(host, 'key', 'retire', fp);
  await daemon.stop();
  await json(host, 'key', 'retire', fp, '--undo');
});

test('what the daemon has announced is not announced again by an older ring file', async () => {
  const host = await TestHost.provisioned();
  const old = host.ring;
  const daemon = await host.serve();
  const { fp } = await json<Made>(host, 'key', 'create');
  const staged = host.ring;
  await json(host, 'key', 'promote', fp, '--generation', '3');
  putRing(host, staged);
  const [first = ''] = old.keks.map((kek) => kek.fp);
  for (const generation of ['2', '3']) {
    const { exitCode, stderr } = await host.run('key', 'promote', fp, '--generation', generation);
    const isSame = generation === '3';
    assert.equal(exitCode, isSame ? 0 : 1, stderr);
    if (!isSame) assert.match(stderr, /it is of generation 2, this host has 3/);
  }
  putRing(host, old);
  const client = new KmsClient(host.socket);
  assert.equal((await client.status()).keyId, `k1.test.3.${fp}`);
  assert.notEqual(first, fp);
  await daemon.stop();
});

test('key create returns once the daemon has the KEK in use', async () => {
  const host = await TestHost.provisioned();
  const daemon = await host.serve();
  const { fp } = await json<Made>(host, 'key', 'create');
  const { keks } = await json<State>(host, 'status');
  assert.deepEqual(
    keks.filter((kek) => kek.fp === fp).map((kek) => kek.verified),
    [true],
  );
  await daemon.stop();
});
