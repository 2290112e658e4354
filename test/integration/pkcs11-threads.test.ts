// A module that is slow or hangs, under a daemon: no call to it runs in the thread
// of the event loop, Status never waits, and READY comes.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { status as grpcStatus } from '@grpc/grpc-js';
import { KmsClient } from '../support/client.ts';
import type { Daemon } from '../support/daemon.ts';
import { FaultModule, openProvider } from '../support/faultmodule.ts';
import { TestHost } from '../support/host.ts';
import { missingTool } from '../support/skip.ts';

const seed = randomBytes(32);
const slow = ['C_EncryptInit delay 15', 'C_DecryptInit delay 15'];
const slowOpening = ['C_Initialize', 'C_OpenSession', 'C_Login', 'C_FindObjects', 'C_SignInit'];
const skip = missingTool('cc');

interface Parts {
  readonly faults: FaultModule;
  readonly host: TestHost;
}

async function hostWithFaults(limits: object): Promise<Parts> {
  const faults = new FaultModule();
  const host = await TestHost.provisioned();
  host.configure({ pkcs11: { module: faults.path }, limits });
  return { faults, host };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2_000; i += 1, await sleep(10)) if (condition()) return;
  assert.fail('it has not come to be');
}

describe('a slow module', { skip }, async () => {
  const { faults, host } = await hostWithFaults({ callTimeoutMs: 30_000 });

  async function withDaemon(
    work: (client: KmsClient, daemon: Daemon) => Promise<void>,
  ): Promise<void> {
    faults.plan(...slow, ...slowOpening.map((name) => `${name} delay 3`));
    faults.forgetTrace();
    const daemon = await host.serve(faults.env);
    const client = new KmsClient(host.socket);
    await work(client, daemon);
    client.close();
    await daemon.stop();
  }

  test('is never called in the thread of the event loop, from C_Initialize on', async () => {
    await withDaemon(async (client, daemon) => {
      const sealed = await Promise.all(Array.from({ length: 20 }, () => client.encrypt(seed)));
      for (const { ciphertext, keyId } of sealed) {
        assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
      }
      const finds = faults.calls('C_FindObjects');
      faults.plan(...slow, 'C_EncryptInit fail 0x82 times 1');
      await client.encrypt(seed);
      assert.ok(faults.calls('C_FindObjects') > finds, 'the KEK was found again');
      const calls = faults.allCalls().filter(({ pid }) => pid === daemon.pid);
      for (const name of [...slowOpening, 'C_EncryptInit', 'C_Encrypt', 'C_Decrypt']) {
        assert.ok(
          calls.some((call) => call.name === name),
          name,
        );
      }
      const here = calls.filter((call) => call.isMainThread).map((call) => call.name);
      assert.deepEqual(here, []);
    });
  });

  test('Status is answered before Encrypts that came first', async () => {
    await withDaemon(async (client) => {
      const ends: string[] = [];
      faults.plan('C_EncryptInit delay 4000');
      const before = faults.calls('C_OpenSession');
      const encrypts = Array.from({ length: 8 }, () =>
        client.encrypt(seed).then(() => ends.push('Encrypt')),
      );
      // Each thread has opened its session: the calls are in the module.
      await until(() => faults.calls('C_OpenSession') >= before + 2);
      for (let i = 0; i < 30; i += 1) {
        await client.status();
        ends.push('Status');
      }
      faults.plan();
      await Promise.all(encrypts);
      assert.deepEqual(ends, [...Array(30).fill('Status'), ...Array(8).fill('Encrypt')]);
    });
  });

  test('Status is answered while KEKs are being looked for', async () => {
    await withDaemon(async (client) => {
      faults.plan('C_EncryptInit fail 0x82 times 1', 'C_FindObjects delay 4000');
      const [inits, finds] = [faults.calls('C_FindObjectsInit'), faults.calls('C_FindObjects')];
      const encrypt = client.encrypt(seed);
      await until(() => faults.calls('C_FindObjectsInit') > inits);
      for (let i = 0; i < 30; i += 1) await client.status();
      assert.equal(faults.calls('C_FindObjects'), finds, 'the search is not over');
      faults.plan(...slow);
      await encrypt;
    });
  });
});

describe('a module that hangs at start', { skip, concurrency: true }, () => {
  const limits = { callTimeoutMs: 300, openTimeoutMs: 1_000 };
  for (const stage of ['C_Initialize', 'C_Login', 'C_FindObjects']) {
    test(`in ${stage}: the daemon listens, says so, and can be stopped`, async () => {
      const { faults, host } = await hostWithFaults(limits);
      faults.plan(`${stage} hang`);
      const daemon = await host.serve(faults.env);
      const client = new KmsClient(host.socket);
      const refused = {
        code: grpcStatus.UNAVAILABLE,
        details: `the PKCS#11 module fails, in ${stage}`,
      };
      await assert.rejects(client.status(), refused);
      await assert.rejects(client.encrypt(seed), refused);
      assert.match(JSON.stringify(daemon.lines), new RegExp(`hangs in ${stage}`));
      // However often it is tried again, no other thread gets stuck.
      await sleep(2_000);
      await assert.rejects(client.status(), refused);
      assert.equal(faults.calls(stage), stage === 'C_Initialize' ? 2 : 1);
      client.close();
      assert.equal(await daemon.stop(), 'SIGKILL', 'process.exit would wait for ever');
    });
  }

  test('and comes back late is opened in the same process', async () => {
    const { faults, host } = await hostWithFaults(limits);
    faults.plan('C_Login delay 4000');
    const daemon = await host.serve(faults.env);
    const client = new KmsClient(host.socket);
    await assert.rejects(client.status(), { details: /in C_Login$/ });
    faults.plan();
    await daemon.event('serving', 0, 60_000);
    await client.encrypt(seed);
    assert.equal(faults.calls('C_Finalize'), 1, 'the late call was let out before');
    client.close();
    assert.equal(await daemon.stop(), 0);
  });

  test('is left out after three starts under a supervisor, and comes back', async () => {
    const { faults, host } = await hostWithFaults(limits);
    mkdirSync(join(host.folder, 'run'), { recursive: true });
    // Long enough for the daemon's deadline, short enough for the child that is asked first.
    faults.plan('C_Login delay 6000');
    const daemon = await host.superviseServe({ restartMs: 20, env: faults.env });
    const client = new KmsClient(host.socket);
    await assert.rejects(client.status(), { details: /in C_Login$/ });
    const ends = daemon.lines.filter((line) => line['event'] === 'supervisor-ended');
    assert.deepEqual(
      ends.map((line) => line['status']),
      [-9, -9, -9],
    );
    const { pid } = daemon;
    faults.plan();
    daemon.signal('SIGHUP');
    await daemon.event('serving', 0, 30_000);
    await client.encrypt(seed);
    assert.equal(daemon.pid, pid);
    await daemon.stop();
  });
});

test('a module that becomes slow is called in threads from then on', { skip }, async () => {
  const faults = new FaultModule();
  const host = await TestHost.provisioned();
  faults.plan();
  const { provider, fp, broken } = await openProvider(host, faults);
  assert.equal(provider.mode, 'in-thread');
  const aad = Buffer.from('header and key id');
  const body = await provider.wrap(fp, seed, aad);
  faults.plan('C_EncryptInit delay 20');
  for (let i = 0; i < 5; i += 1) await provider.wrap(fp, seed, aad);
  assert.equal(provider.mode, 'threads');
  assert.deepEqual(await provider.unwrap(fp, body, aad), seed);
  await Promise.all(Array.from({ length: 20 }, () => provider.wrap(fp, seed, aad)));
  await provider.selfTest();
  assert.deepEqual(broken, []);
  await provider.close();
});
