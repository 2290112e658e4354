// A daemon whose module is beyond repair: what a client notices, when the
// process ends itself and when it stays, and how it comes back.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { status as grpcStatus, type ServiceError } from '@grpc/grpc-js';
import { KmsClient } from '../support/client.ts';
import type { Daemon } from '../support/daemon.ts';
import { FaultModule } from '../support/faultmodule.ts';
import { TestHost } from '../support/host.ts';
import { missingTool } from '../support/skip.ts';

const seed = randomBytes(32);
const unavailable = { code: grpcStatus.UNAVAILABLE };

describe('a module that is beyond repair', { skip: missingTool('cc') }, () => {
  async function faultyHost(): Promise<{ host: TestHost; faults: FaultModule }> {
    const faults = new FaultModule();
    const host = await TestHost.provisioned();
    host.configure({ pkcs11: { module: faults.path }, selfTest: { intervalMs: 300 } });
    return { host, faults };
  }

  const deaths = (daemon: Daemon): number =>
    daemon.lines.filter((line) => line['event'] === 'supervisor-ended').length;

  async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    for (const end = Date.now() + 20_000; Date.now() < end; await sleep(20)) {
      if (await isSo()) return;
    }
    assert.fail(`not within 20 s: ${what}`);
  }

  const serves = (client: KmsClient) => (): Promise<boolean> =>
    client.encrypt(seed).then(
      () => true,
      () => false,
    );

  test('costs a client that goes on calling one call at most', async () => {
    const { host, faults } = await faultyHost();
    const daemon = await host.superviseServe({ restartMs: 20, env: faults.env });
    const client = new KmsClient(host.socket);
    const failures: ServiceError[] = [];
    let served = 0;
    let isOver = false;
    const calling = (async () => {
      while (!isOver) {
        await client.encrypt(seed).then(
          () => {
            served += 1;
          },
          (error: ServiceError) => failures.push(error),
        );
      }
    })();
    for (const code of ['0x30', '0x190']) {
      const dead = deaths(daemon);
      // After some calls, so that the process is not struck again in its start.
      faults.plan(`C_Encrypt fail ${code} after 50 times 1`);
      await until('a death', () => deaths(daemon) > dead);
      faults.plan();
      const before = served;
      await until('calls are served again', () => served > before + 50);
    }
    isOver = true;
    await calling;
    assert.deepEqual(
      failures.map(({ code }) => code),
      [grpcStatus.UNAVAILABLE, grpcStatus.UNAVAILABLE],
    );
    const ends = daemon.lines.filter((line) => line['event'] === 'supervisor-ended');
    assert.deepEqual(
      ends.map((line) => line['status']),
      [-9, -9],
    );
    await daemon.stop();
  });

  test('is left after three deaths by a daemon that stays, tells so, and heals by itself', async () => {
    const { host, faults } = await faultyHost();
    const daemon = await host.superviseServe({ restartMs: 20, env: faults.env });
    const client = new KmsClient(host.socket);
    await client.encrypt(seed);
    faults.plan('C_Encrypt fail 0x30');
    await until('three deaths', () => deaths(daemon) === 3);
    await assert.rejects(client.status(), unavailable);
    const { pid } = daemon;
    // Long enough for the child to have been asked in vain, and for self-tests.
    await sleep(1_500);
    await assert.rejects(client.status(), { ...unavailable, details: /the PKCS#11 module fails/ });
    await assert.rejects(client.encrypt(seed), unavailable);
    assert.equal(deaths(daemon), 3);
    faults.plan();
    await until('serving', serves(client));
    assert.equal((await client.status()).healthz, 'ok');
    assert.equal(daemon.pid, pid, 'nobody has restarted it');
    await daemon.stop();
  });

  test('is opened again in the same process where nobody would start another', async () => {
    const { host, faults } = await faultyHost();
    const daemon = await host.serve(faults.env);
    const client = new KmsClient(host.socket);
    const { ciphertext, keyId } = await client.encrypt(seed);
    const initialized = faults.calls('C_Initialize');
    faults.plan('C_Encrypt fail 0x32', 'C_OpenSession fail 0x32');
    await assert.rejects(client.encrypt(seed), unavailable);
    await sleep(1_000);
    await assert.rejects(client.status(), unavailable);
    faults.plan();
    await until('serving', serves(client));
    assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
    assert.equal(daemon.process.exitCode, null);
    assert.ok(faults.calls('C_Initialize') > initialized);
    assert.ok(faults.calls('C_Finalize') > 0);
    await daemon.stop();
  });

  test('is noticed by the self-test, without a call of any client', async () => {
    const { host, faults } = await faultyHost();
    const daemon = await host.superviseServe({ restartMs: 20, env: faults.env });
    const { pid } = daemon;
    faults.plan('C_Sign fail 0x30 times 1');
    await until('a death', () => deaths(daemon) === 1);
    faults.plan();
    const client = new KmsClient(host.socket);
    await until('serving', serves(client));
    assert.notEqual(daemon.pid, pid);
    await daemon.stop();
  });
});
