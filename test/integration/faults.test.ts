// A PKCS#11 module that fails, hangs or takes the process with it, under a
// daemon whose socket a supervisor holds.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceError } from '@grpc/grpc-js';
import { KmsClient } from '../support/client.ts';
import type { Daemon } from '../support/daemon.ts';
import { FaultModule } from '../support/faultmodule.ts';
import { TestHost } from '../support/host.ts';

const faults = new FaultModule();
Object.assign(process.env, faults.env);
const host = await TestHost.provisioned({
  pkcs11: { module: faults.path },
  limits: { callTimeoutMs: 300 },
  selfTest: { intervalMs: 3_600_000 },
});
const seed = Buffer.alloc(32, 3);

async function withDaemon(
  work: (client: KmsClient, daemon: Daemon) => Promise<void>,
): Promise<void> {
  rmSync(host.socket, { force: true });
  for (const mark of readdirSync(join(host.folder, 'run')))
    rmSync(join(host.folder, 'run', mark), { recursive: true });
  const daemon = await host.superviseServe({ restartMs: 20 });
  const client = new KmsClient(host.socket);
  try {
    await work(client, daemon);
  } finally {
    faults.plan();
    client.close();
    await daemon.stop();
  }
}

/** Resolves to undefined once Status is good, or to the last error text. */
async function recovered(client: KmsClient, withinMs: number): Promise<string | undefined> {
  let last = 'no answer';
  for (const end = Date.now() + withinMs; Date.now() < end; await sleep(50)) {
    const error = await client.encrypt(seed).then(
      () => undefined,
      (thrown: ServiceError) => thrown.details,
    );
    if (error === undefined) return undefined;
    last = error;
  }
  return last;
}

test('the module is told to lock, because calls may come from more than one thread', async () => {
  faults.plan();
  await withDaemon(async () => undefined);
  const flags = faults.trace().filter((line) => line.includes('C_Initialize flags'));
  assert.ok(flags.length > 0);
  assert.ok(
    flags.every((line) => line.endsWith(' 2')),
    'CKF_OS_LOCKING_OK is 2',
  );
});

test('a spent session or handle costs the client nothing', async () => {
  await withDaemon(async (client, daemon) => {
    const { pid } = daemon;
    const { ciphertext, keyId } = await client.encrypt(seed);
    for (const code of ['0xB3', '0xB0', '0x90', '0x91', '0x82', '0x60', '0x101']) {
      faults.plan(`C_EncryptInit fail ${code} 1`, `C_Decrypt fail ${code} 1`);
      await client.encrypt(seed);
      assert.deepEqual(await client.decrypt(ciphertext, keyId), seed, code);
    }
    assert.equal(daemon.pid, pid, 'the process went on');
  });
});

test('a module beyond repair ends the process, and the next one serves', async (t) => {
  for (const code of ['0x30', '0x31', '0x32', '0xE0', '0xE1', '0x190', '0x5', '0x6']) {
    await withDaemon(async (client, daemon) => {
      const from = daemon.lines.length;
      const { pid } = daemon;
      faults.plan(`C_Encrypt fail ${code} 1`);
      const startMs = performance.now();
      await assert.rejects(client.encrypt(seed), { code: 14 });
      faults.plan();
      assert.equal(await recovered(client, 5000), undefined, code);
      t.diagnostic(`${code}: serving again after ${(performance.now() - startMs).toFixed(0)} ms`);
      const ended = await daemon.event('supervisor-ended', from);
      assert.equal(ended['status'], -9, code);
      assert.notEqual(daemon.pid, pid);
    });
  }
});

test('a key that refuses the mechanism is reported, and no process is killed for it', async () => {
  await withDaemon(async (client, daemon) => {
    const { pid } = daemon;
    faults.plan('C_EncryptInit fail 0x68');
    await assert.rejects(client.encrypt(seed), { code: 14, details: /lacks a needed mechanism/ });
    faults.plan();
    await client.encrypt(seed);
    assert.equal(daemon.pid, pid);
  });
});

test('a fault that stays ends in a daemon that answers, and heals when it goes', async () => {
  await withDaemon(async (client) => {
    faults.plan('C_Encrypt fail 0x30');
    const last = await recovered(client, 3000);
    assert.match(last ?? '', /PKCS#11 module/);
    await assert.rejects(client.status(), { code: 14 });
    faults.plan();
    assert.equal(await recovered(client, 40_000), undefined);
  });
});

test('a module that kills the process at login is left out after three deaths', async () => {
  faults.plan('C_Login exit 5');
  rmSync(host.socket, { force: true });
  const daemon = await host.superviseServe({ restartMs: 20 });
  const client = new KmsClient(host.socket);
  const deaths = daemon.lines.filter((line) => line['event'] === 'supervisor-ended');
  assert.equal(deaths.length, 3);
  await assert.rejects(client.status(), { code: 14, details: /crashed kleidi at start/ });
  await daemon.event('not-serving');
  assert.match(JSON.stringify(daemon.lines), /three times, in C_Login/);
  client.close();
  faults.plan();
  await daemon.stop();
});

test('a slow module is called in threads, and a call that hangs meets its deadline', async () => {
  faults.plan('C_Encrypt delay 2', 'C_Decrypt delay 2');
  rmSync(host.socket, { force: true });
  for (const mark of readdirSync(join(host.folder, 'run')))
    rmSync(join(host.folder, 'run', mark), { recursive: true });
  const daemon = await host.superviseServe({ restartMs: 20 });
  const client = new KmsClient(host.socket);
  const many = await Promise.all(Array.from({ length: 50 }, () => client.encrypt(seed)));
  for (const { ciphertext, keyId } of many) {
    assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
  }
  const { pid } = daemon;
  faults.plan('C_Encrypt hang 0');
  const startMs = performance.now();
  await assert.rejects(client.encrypt(seed), { code: 4 });
  assert.ok(performance.now() - startMs < 2000);
  // Status answers from memory while the call is stuck.
  await client.status();
  faults.plan();
  await sleep(800);
  assert.equal(await recovered(client, 5000), undefined);
  assert.notEqual(daemon.pid, pid, 'a stuck module is left by a new process');
  client.close();
  await daemon.stop();
});

test('a PIN that a token refuses is tried once, also across restarts and by commands', async () => {
  const pin = host.pin;
  rmSync(host.pinPath);
  writeFileSync(host.pinPath, 'not-the-right-pin', { mode: 0o400 });
  faults.plan('C_GetInfo rename 0');
  const before = faults.calls('C_Login');
  await withDaemonKeepingMarks(async (client) => {
    await assert.rejects(client.status(), { code: 14, details: /refuses the PIN/ });
    await sleep(1500);
  });
  assert.equal(faults.calls('C_Login') - before, 1, 'retries with back-off make no try');
  await withDaemonKeepingMarks(async (client) => {
    await assert.rejects(client.status(), /refuses the PIN/);
  });
  assert.equal((await host.run('key', 'list')).exitCode, 1);
  assert.equal(faults.calls('C_Login') - before, 1);
  const record = readFileSync(join(host.folder, 'run/refused-pin'), 'utf8');
  assert.ok(!record.includes('not-the-right-pin'));

  rmSync(host.pinPath);
  writeFileSync(host.pinPath, pin, { mode: 0o400 });
  await withDaemonKeepingMarks(async (client) => {
    assert.equal((await client.status()).healthz, 'ok');
  });
  faults.plan();
});

async function withDaemonKeepingMarks(work: (client: KmsClient) => Promise<void>): Promise<void> {
  rmSync(host.socket, { force: true });
  const daemon = await host.superviseServe({ restartMs: 20 });
  const client = new KmsClient(host.socket);
  await work(client);
  client.close();
  await daemon.stop();
}

test('where a copy into memory is refused, the key in the token is used', async () => {
  faults.plan('C_CopyObject fail 0x1B');
  await withDaemonKeepingMarks(async (client) => {
    const { ciphertext, keyId } = await client.encrypt(seed);
    assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
  });
  faults.plan();
});
