// kleidi key promote, retire and destroy with a running daemon: what is refused,
// what the daemon takes up, and what a kill at any step leaves behind.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';

import { once } from 'node:events';

import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';

import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { StateResponse } from '../../src/kms/contract.ts';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { KillAtStep } from '../support/killatstep.ts';
import { program, type Result } from '../support/kleidi.ts';

const seed = randomBytes(32);

async function good(host: TestHost, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await host.run(...args);
  assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

async function refused(host: TestHost, reason: RegExp, ...args: string[]): Promise<Result> {
  const before = readFileSync(host.ringPath, 'utf8');
  const result = await host.run(...args);
  assert.equal(result.exitCode, 1, `${args.join(' ')}: ${result.stdout}`);
  assert.match(result.stderr, reason);
  assert.match(result.stderr, /hint: /);
  assert.equal(readFileSync(host.ringPath, 'utf8'), before, 'the ring is unchanged');
  return result;
}

async function createKek(host: TestHost): Promise<string> {
  return (JSON.parse(await good(host, 'key', 'create', '--json')) as { fp: string }).fp;
}

async function stateOf(host: TestHost): Promise<StateResponse> {
  const { stdout } = await host.run('status', '--json');
  return JSON.parse(stdout) as StateResponse;
}

function stateOfKek(host: TestHost, fp: string): string | undefined {
  return host.ring.keks.find((kek) => kek.fp === fp)?.state;
}

async function fpsInToken(host: TestHost): Promise<string[]> {
  const listed = JSON.parse(await good(host, 'key', 'list', '--json')) as {
    fp: string;
    held: boolean;
  }[];
  return listed.filter((kek) => kek.held).map((kek) => kek.fp);
}

/** At a terminal, which script(1) makes: what is shown there. */
async function typed(host: TestHost, answer: string, ...args: string[]): Promise<string> {
  const command = [process.execPath, program, ...args, '--config', host.configPath].join(' ');
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  let shown = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const wasAsked = shown.includes('Type ');
    shown += chunk.toString();
    if (!wasAsked && shown.includes('Type ')) child.stdin.write(`${answer}\n`);
  });
  await once(child, 'close');
  return shown;
}

test('promote announces the new id before it returns, is safe to repeat, and rolls back by promoting', async (t) => {
  const host = await TestHost.provisioned();
  const first = host.ring.keks[0]?.fp ?? '';
  const second = await createKek(host);
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const old = await client.encrypt(seed);

  const done = JSON.parse(
    await good(host, 'key', 'promote', second.slice(0, 8), '--json'),
  ) as object;
  const keyId = `k1.test.2.${second}`;
  assert.equal((await client.status()).keyId, keyId, 'announced already');
  assert.deepEqual(done, { ...done, fp: second, generation: 2, keyId, announced: true });
  const { time } = await daemon.event('ring-changed');
  const tookMs = Number(time) - statSync(host.ringPath).mtimeMs;
  t.diagnostic(`taken up ${tookMs.toFixed(0)} ms after the ring was written`);
  assert.equal((await client.encrypt(seed)).keyId, keyId);
  assert.deepEqual(await client.decrypt(old.ciphertext, old.keyId), seed);
  const written = readFileSync(host.ringPath, 'utf8');
  await good(host, 'key', 'promote', second);
  await good(host, 'key', 'promote', second, '--generation', '2');
  assert.equal(readFileSync(host.ringPath, 'utf8'), written);

  await refused(host, /only staged or read/, 'key', 'promote', second, '--generation', '3');
  await refused(host, /is not above the current 2/, 'key', 'promote', first, '--generation', '2');
  const jump = ['--generation', '99999999'];
  await refused(host, /more than 1000 above the current 2/, 'key', 'promote', first, ...jump);
  await refused(host, /is not in the ring/, 'key', 'promote', 'ab'.repeat(16));
  for (const args of [[], ['xyz'], [first, '--generation', '0'], [first, '--generation', '1e3']]) {
    assert.equal((await host.run('key', 'promote', ...args)).exitCode, 2, args.join(' '));
  }
  await good(host, 'key', 'promote', first, '--generation', '7');
  assert.equal((await client.status()).keyId, `k1.test.7.${first}`);
  await daemon.stop();
  const alone = await host.run('key', 'promote', second);
  assert.equal(alone.exitCode, 0);
  assert.match(alone.stderr, /no daemon answers/);
});

test('a KEK that the token lacks is not promoted, and a daemon that cannot follow is told', async () => {
  const host = await TestHost.provisioned();
  const other = await TestHost.provisioned();
  const foreign = { ...other.ring.keks[0], state: 'staged' };
  writeFileSync(
    host.ringPath,
    JSON.stringify({ ...host.ring, keks: [...host.ring.keks, foreign] }),
  );
  const fp = String(foreign.fp);
  await refused(host, /does not hold KEK .*nothing was changed/, 'key', 'promote', fp);

  // A daemon that looks elsewhere stands for one that cannot read the new ring.
  const second = await createKek(host);
  const daemon = await host.serve();
  const moved = join(host.folder, 'moved/ring.json');
  host.configure({ ring: moved, socket: host.socket });
  const { mkdirSync, copyFileSync } = await import('node:fs');
  mkdirSync(dirname(moved));
  copyFileSync(host.ringPath, moved);
  const { exitCode, stderr } = await host.run('key', 'promote', second);
  assert.equal(exitCode, 1);
  assert.match(stderr, /has not taken up k1\.test\.2\.[\s\S]*the ring file is changed/);
  assert.match(readFileSync(moved, 'utf8'), /"generation": 2/);
  await daemon.stop();
});

test('retire refuses Decrypt within a second, undo takes it back, the write KEK stays', async () => {
  const host = await TestHost.provisioned();
  const first = host.ring.keks[0]?.fp ?? '';
  const second = await createKek(host);
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const old = await client.encrypt(seed);
  await refused(host, /is the write KEK/, 'key', 'retire', first);
  await good(host, 'key', 'promote', second);
  await client.decrypt(old.ciphertext, old.keyId);

  const retired = await host.run('key', 'retire', first);
  assert.match(retired.stderr, /has opened 1 seeds under this KEK/);
  await assert.rejects(client.decrypt(old.ciphertext, old.keyId), {
    code: 9,
    details: /is retired/,
  });
  assert.equal((await client.status()).healthz, 'ok');
  await refused(host, /is retired; only staged or read/, 'key', 'promote', first);
  await good(host, 'key', 'retire', first);
  await good(host, 'key', 'retire', first, '--undo');
  assert.deepEqual(await client.decrypt(old.ciphertext, old.keyId), seed);
  assert.equal(stateOfKek(host, first), 'read');
  await daemon.stop();
});

test('destroy wants a retired KEK that nothing has asked for, and removes it for good', async () => {
  const host = await TestHost.provisioned();
  const first = host.ring.keks[0]?.fp ?? '';
  const second = await createKek(host);
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const old = await client.encrypt(seed);
  const destroy = ['key', 'destroy', first, '--no-scan', '--yes'];
  await good(host, 'key', 'promote', second);
  await refused(host, /is read; only retired ones are destroyed/, ...destroy);
  assert.equal((await host.run('key', 'destroy', first, '--yes')).exitCode, 2);
  await good(host, 'key', 'retire', first);
  assert.equal((await host.run('key', 'destroy', first, '--no-scan')).exitCode, 2, 'no terminal');

  assert.match(await typed(host, 'yes', ...destroy.slice(0, -1)), /not confirmed/);
  assert.equal(stateOfKek(host, first), 'retired');

  await client.decrypt(old.ciphertext, old.keyId).catch(() => undefined);
  await refused(host, /refused 1 Decrypts under it/, ...destroy);
  // What was asked for before it was retired again does not count.
  await good(host, 'key', 'retire', first, '--undo');
  await good(host, 'key', 'retire', first);
  assert.match(await typed(host, first, ...destroy.slice(0, -1)), /is destroyed on this host/);
  assert.equal(stateOfKek(host, first), 'destroyed');
  assert.deepEqual(await fpsInToken(host), [second]);
  await assert.rejects(client.decrypt(old.ciphertext, old.keyId), { code: 9 });
  assert.equal((await stateOf(host)).tokenDamaged, false);
  await good(host, ...destroy);
  await refused(host, /KEK .* is destroyed/, 'key', 'retire', first, '--undo');
  await daemon.stop();

  // What an interrupted command has left in the token alone can be removed, too.
  const ring = host.ring;
  const third = await createKek(host);
  writeFileSync(host.ringPath, JSON.stringify(ring));
  await good(host, 'key', 'destroy', third, '--no-scan', '--yes');
  assert.deepEqual(await fpsInToken(host), [second]);
});

test('while the token on disk is damaged nothing is promoted, retired or destroyed', async () => {
  const host = await TestHost.provisioned({ verifier: { intervalMs: 1_000 } });
  const first = host.ring.keks[0]?.fp ?? '';
  const second = await createKek(host);
  await good(host, 'key', 'promote', second);
  const daemon = await host.serve();
  const [token = ''] = readdirSync(host.tokens);
  const hidden = join(host.folder, 'hidden');
  renameSync(join(host.tokens, token), hidden);
  await daemon.event('token-damaged');
  for (const args of [
    ['promote', first],
    ['retire', first],
    ['destroy', first, '--no-scan', '--yes'],
  ]) {
    await refused(host, /the token on disk is damaged/, 'key', ...args);
  }
  renameSync(hidden, join(host.tokens, token));
  await daemon.event('token-whole');
  await good(host, 'key', 'promote', first);
  await daemon.stop();
});

test('killed before any step of promote, retire and destroy: a valid ring, a serving daemon, and the next run ends it', async (t) => {
  const kill = new KillAtStep();
  const host = await TestHost.provisioned();
  const first = host.ring.keks[0]?.fp ?? '';
  const second = await createKek(host);
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const old = await client.encrypt(seed);
  const serves = async (): Promise<void> => {
    assert.equal(host.ring.ring, 'test', 'parsed: the ring is valid');
    const status = await client.status();
    assert.equal(status.healthz, 'ok');
    const sealed = await client.encrypt(seed);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
  };
  for (const args of [
    ['key', 'promote', second, '--generation', '2'],
    ['key', 'retire', first],
    ['key', 'retire', first, '--undo'],
    ['key', 'retire', first],
    ['key', 'destroy', first, '--no-scan', '--yes'],
  ]) {
    const word = args[1] ?? '';
    const { steps, last } = await kill.walk(word, (env) => host.runWith({ env }, ...args), serves);
    t.diagnostic(`${args.slice(1).join(' ')}: ${steps} steps`);
    assert.equal(last.exitCode, 0, last.stderr);
    assert.ok(steps >= 5, `${word} has only ${steps} steps`);
    await serves();
  }
  assert.equal((await client.status()).keyId, `k1.test.2.${second}`);
  assert.deepEqual(
    host.ring.keks.map((kek) => kek.state),
    ['destroyed', 'write'],
  );
  assert.deepEqual(await fpsInToken(host), [second]);
  await assert.rejects(client.decrypt(old.ciphertext, old.keyId));
  assert.ok(existsSync(host.ringPath));
  await daemon.stop();
});
