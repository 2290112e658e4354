// A module that takes the process with it while it is opened, as SoftHSM does
// with some damaged files: three deaths, then a daemon that answers without it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { status as grpcStatus, type ServiceError } from '@grpc/grpc-js';
import { KmsClient } from '../support/client.ts';
import { FaultModule } from '../support/faultmodule.ts';
import { TestHost } from '../support/host.ts';
import { missingTool } from '../support/skip.ts';

const seed = randomBytes(32);

interface Crash {
  readonly stage: string;
  readonly fault: string;
  /** As the supervisor sees it. */
  readonly status: number;
  /** Whether the daemon is told to try again (SIGHUP), or does so when it is time. */
  readonly isTold: boolean;
}

const crashes: readonly Crash[] = [
  { stage: 'C_Initialize', fault: 'C_Initialize abort', status: -6, isTold: false },
  { stage: 'C_Login', fault: 'C_Login exit 5', status: 5, isTold: true },
  { stage: 'C_FindObjects', fault: 'C_FindObjects exit 5', status: 5, isTold: true },
  { stage: 'C_Encrypt', fault: 'C_Encrypt abort', status: -6, isTold: true },
];

async function servesWithin(client: KmsClient, timeoutMs: number): Promise<void> {
  let last: ServiceError | undefined;
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(100)) {
    try {
      await client.encrypt(seed);
      return;
    } catch (error) {
      last = error as ServiceError;
    }
  }
  throw last;
}

describe('a module that ends the process', { skip: missingTool('cc'), concurrency: true }, () => {
  for (const { stage, fault, status, isTold } of crashes) {
    const how = isTold ? 'when it is told to' : 'by itself';
    test(`in ${stage} is left out after three deaths, and tried again ${how}`, async () => {
      const faults = new FaultModule();
      const host = await TestHost.provisioned();
      host.configure({ pkcs11: { module: faults.path } });
      faults.plan(fault);
      const daemon = await host.superviseServe({ restartMs: 20, env: faults.env });
      const client = new KmsClient(host.socket);

      const refused = { code: grpcStatus.UNAVAILABLE, details: new RegExp(`in ${stage}$`) };
      await assert.rejects(client.status(), refused);
      await assert.rejects(client.encrypt(seed), refused);
      const { pid } = daemon;
      // The child that is asked first is ended in its turn, the daemon is not.
      await sleep(1_500);
      await assert.rejects(client.status(), refused);
      const ends = daemon.lines.filter((line) => line['event'] === 'supervisor-ended');
      assert.deepEqual(
        ends.map((line) => line['status']),
        [status, status, status],
      );
      const known = new Set([pid, ...ends.map((line) => line['pid'])]);
      const opening = faults.called('C_Initialize').map((call) => call.pid);
      assert.ok(!opening.includes(pid), 'this process has not touched the module');
      assert.ok(
        opening.some((each) => !known.has(each)),
        'a child has',
      );

      faults.plan();
      if (isTold) daemon.signal('SIGHUP');
      await servesWithin(client, isTold ? 5_000 : 35_000);
      assert.equal((await client.status()).healthz, 'ok');
      assert.equal(daemon.pid, pid, 'without another restart');
      await daemon.stop();
    });
  }
});
