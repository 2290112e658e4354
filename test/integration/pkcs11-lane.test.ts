// Where calls to the module run: fast ones in the thread of the event loop, slow
// ones in threads, with a deadline, and never a module unloaded under one.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FaultModule, type OpenedProvider, openProvider } from '../support/faultmodule.ts';
import { TestHost } from '../support/host.ts';
import { missingTool } from '../support/skip.ts';

const secret = randomBytes(32);
const aad = Buffer.from('header and key id');
const slow = ['C_Encrypt delay 2', 'C_Decrypt delay 2'];
const skip = missingTool('cc');

describe('the lane that calls take', { skip }, async () => {
  const faults = new FaultModule();
  const host = await TestHost.provisioned();
  afterEach(() => faults.plan());

  async function withSlowModule(
    callTimeoutMs: number,
    work: (opened: OpenedProvider, seal: () => Promise<Buffer>) => Promise<void>,
  ): Promise<void> {
    faults.plan(...slow);
    const opened = await openProvider(host, faults, { callTimeoutMs });
    const { provider, fp } = opened;
    assert.equal(provider.mode, 'threads');
    await work(opened, () => provider.wrap(fp, secret, aad));
    await provider.close();
  }

  test('a fast module is called in this thread, also where its first calls are slow', async () => {
    faults.plan('C_Encrypt delay 30 times 2', 'C_Encrypt delay 3 after 2 times 4');
    const { provider } = await openProvider(host, faults);
    assert.equal(provider.mode, 'in-thread');
    await provider.close();
  });

  test('a slow module is called in threads, several calls at a time', async () => {
    await withSlowModule(2_000, async ({ provider, fp, broken }, seal) => {
      const bodies = await Promise.all(Array.from({ length: 50 }, seal));
      const opened = bodies.map((body) => provider.unwrap(fp, body, aad));
      for (const plaintext of await Promise.all(opened)) assert.deepEqual(plaintext, secret);
      await provider.selfTest();
      assert.deepEqual(broken, []);
    });
  });

  test('at most six threads call it, each in a session of its own', async () => {
    await withSlowModule(20_000, async (_, seal) => {
      faults.forgetTrace();
      faults.plan('C_EncryptInit delay 50');
      const threads = (): Set<number> =>
        new Set(faults.called('C_Encrypt').map(({ thread }) => thread));
      for (let i = 0; i < 20 && threads().size < 6; i += 1) {
        await Promise.all(Array.from({ length: 30 }, seal));
      }
      assert.equal(threads().size, 6);
      // The first has had its session before.
      const sessions = faults.called('C_OpenSession').map(({ thread }) => thread);
      assert.equal(sessions.length, 5);
      assert.equal(new Set(sessions).size, 5);
    });
  });

  test('a session that is spent is replaced, and those who wait are served', async () => {
    await withSlowModule(20_000, async ({ broken }, seal) => {
      faults.plan('C_EncryptInit fail 0xB3 times 3', ...slow);
      await Promise.all(Array.from({ length: 30 }, seal));
      assert.deepEqual(broken, []);
    });
  });

  test('a module that takes its time does not stop the event loop', async () => {
    await withSlowModule(2_000, async ({ provider }, seal) => {
      faults.plan('C_Encrypt delay 200', 'C_Sign delay 200');
      let longestMs = 0;
      let lastMs = performance.now();
      const ticker = setInterval(() => {
        longestMs = Math.max(longestMs, performance.now() - lastMs);
        lastMs = performance.now();
      }, 5);
      const startMs = performance.now();
      await Promise.all([seal(), seal(), seal()]);
      assert.ok(performance.now() - startMs < 550, 'the three were out at the same time');
      await provider.selfTest();
      clearInterval(ticker);
      assert.ok(longestMs < 150, `the event loop stood still for ${longestMs} ms`);
    });
  });

  test('a call that is late is given up at its deadline, and the module is whole when it comes back', async () => {
    await withSlowModule(400, async ({ broken }, seal) => {
      faults.plan('C_Encrypt delay 600 times 1');
      const startMs = performance.now();
      await assert.rejects(seal(), { code: 'deadline' });
      assert.ok(performance.now() - startMs < 590);
      faults.plan();
      await seal();
      await sleep(400);
      await seal();
      assert.deepEqual(broken, []);
    });
  });

  test('a self-test that is late once is made again', async () => {
    await withSlowModule(400, async ({ provider, broken }) => {
      faults.plan('C_Encrypt delay 500 times 1');
      await provider.selfTest();
      assert.deepEqual(broken, []);
    });
  });

  test('a call that is stuck fails for its caller first, then breaks the provider, once', async () => {
    await withSlowModule(200, async ({ broken }, seal) => {
      faults.plan('C_Encrypt delay 900');
      const calls = Array.from({ length: 12 }, () => assert.rejects(seal(), { code: 'deadline' }));
      await Promise.all(calls);
      assert.deepEqual(broken, []);
      await sleep(300);
      assert.deepEqual(
        broken.map(({ code }) => code),
        ['module-failed'],
      );
      await assert.rejects(seal(), { code: 'module-failed', message: /stuck/ });
    });
  });

  test('closing waits for calls in flight before it finalises the module', async () => {
    await withSlowModule(2_000, async ({ provider, broken }, seal) => {
      faults.plan('C_Encrypt delay 100');
      faults.forgetTrace();
      const calls = [seal(), seal()];
      await sleep(20);
      await provider.close();
      await Promise.all(calls);
      const names = faults.trace().map((line) => line.split(' ')[1]);
      assert.ok(names.indexOf('C_Finalize') > names.lastIndexOf('C_Encrypt'), names.join());
      await assert.rejects(seal(), { code: 'starting' });
      assert.deepEqual(broken, []);
    });
  });

  test('closing leaves a module alone in which a call is stuck', async () => {
    await withSlowModule(200, async ({ provider }, seal) => {
      faults.plan('C_Encrypt delay 700');
      faults.forgetTrace();
      const call = assert.rejects(seal(), { code: 'deadline' });
      await sleep(20);
      const startMs = performance.now();
      await provider.close();
      await call;
      assert.ok(performance.now() - startMs < 600, 'without waiting for it');
      assert.equal(faults.calls('C_Finalize'), 0);
      // It comes back into code that is still there.
      await sleep(700);
      assert.equal(faults.calls('C_Encrypt'), 1);
    });
  });
});
