// The recovery policy on a real token: which failures the caller never sees,
// which are told, and what each costs.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import pkcs11js from 'pkcs11js';
import { firstModule } from '../../src/softhsm.ts';
import { FaultModule, type OpenedProvider, openProvider } from '../support/faultmodule.ts';
import { TestHost } from '../support/host.ts';
import { missingTool } from '../support/skip.ts';

const secret = randomBytes(32);
const aad = Buffer.from('header and key id');
/** What PKCS#11 calls CKR_USER_ALREADY_LOGGED_IN. */
const alreadyLoggedIn = '256';

describe('the recovery policy', { skip: missingTool('cc') }, async () => {
  const faults = new FaultModule();
  const host = await TestHost.provisioned();
  let opened: OpenedProvider;

  /** Another provider only where a test has spoilt the last. */
  beforeEach(async () => {
    if (opened?.broken.length === 0) return faults.forgetTrace();
    await opened?.provider.close();
    opened = await openProvider(host, faults);
    faults.forgetTrace();
  });
  afterEach(() => faults.plan());
  after(() => opened?.provider.close());

  const seal = (): Promise<Buffer> => opened.provider.wrap(opened.fp, secret, aad);

  /** Seals and opens once, under these faults. */
  async function roundTrip(...plan: string[]): Promise<void> {
    const body = await seal();
    faults.plan(...plan);
    assert.deepEqual(await opened.provider.unwrap(opened.fp, body, aad), secret, plan.join());
    await seal();
  }

  /** What happened beside the operation itself. */
  function costs(): Record<string, number> {
    const logins = faults.called('C_Login').map(({ details }) => details.get('rv'));
    return {
      sessions: faults.calls('C_OpenSession'),
      searches: faults.calls('C_FindObjectsInit'),
      logins: logins.filter((rv) => rv !== alreadyLoggedIn).length,
    };
  }

  for (const code of ['0xB3', '0xB0', '0x90', '0x91']) {
    test(`${code} costs one new session, and the caller nothing`, async () => {
      for (const name of ['C_DecryptInit', 'C_Decrypt', 'C_EncryptInit', 'C_Encrypt']) {
        await seal();
        faults.forgetTrace();
        await roundTrip(`${name} fail ${code} times 1`);
        assert.deepEqual(costs(), { sessions: 1, searches: 0, logins: 0 }, name);
      }
      assert.deepEqual(opened.broken, []);
    });
  }

  for (const code of ['0x82', '0x60', '0x101']) {
    test(`${code} makes the provider find the KEK again, and costs the caller nothing`, async () => {
      for (const name of ['C_DecryptInit', 'C_Decrypt', 'C_EncryptInit', 'C_Encrypt']) {
        faults.forgetTrace();
        await roundTrip(`${name} fail ${code} times 1`);
        const { searches, logins } = costs();
        assert.deepEqual({ searches, logins }, { searches: 1, logins: 0 }, name);
        assert.equal(faults.calls('C_Login'), 1, 'one login, no more');
      }
      assert.deepEqual(opened.broken, []);
    });
  }

  test('each rung is climbed once for one call, one after the other', async () => {
    await roundTrip(
      'C_DecryptInit fail 0xB3 times 1',
      'C_DecryptInit fail 0x82 after 1 times 1',
      'C_DecryptInit fail 0x101 after 2 times 1',
      'C_DecryptInit fail 0x5 after 3 times 1',
    );
    assert.deepEqual(opened.broken, []);
  });

  test('what the module refuses is counted by its return value, also where the caller sees none', async () => {
    const { counts } = opened;
    const before = new Map(counts.moduleErrors);
    const rise = (code: string): number =>
      (counts.moduleErrors.get(code) ?? 0) - (before.get(code) ?? 0);
    const unwraps = counts.moduleCalls.get('unwrap') ?? 0;
    await roundTrip(
      'C_DecryptInit fail 0xB3 times 1',
      'C_DecryptInit fail 0x101 after 1 times 1',
      'C_DecryptInit fail 0x82 after 2 times 1',
    );
    assert.deepEqual(
      ['CKR_SESSION_HANDLE_INVALID', 'CKR_USER_NOT_LOGGED_IN', 'CKR_OBJECT_HANDLE_INVALID'].map(
        rise,
      ),
      [1, 1, 1],
    );
    assert.equal(counts.moduleCalls.get('unwrap'), unwraps + 4);
  });

  test('where a rung did not help, the module is broken', async () => {
    faults.plan('C_EncryptInit fail 0xB3');
    await assert.rejects(seal(), { code: 'module-failed', message: /again.*0xb3/ });
    assert.equal(opened.broken.length, 1);
  });

  test('the loss of every session, the anchor too, costs one login and the caller nothing', async () => {
    const body = await seal();
    const api = new pkcs11js.PKCS11();
    api.load(firstModule());
    const slot = api
      .C_GetSlotList(true)
      .find((each) => api.C_GetTokenInfo(each).label.trim() === 'kleidi');
    api.C_CloseAllSessions(slot ?? Buffer.alloc(8));
    // Else it is unloaded whenever garbage is collected, the last time while the process ends.
    api.close();
    assert.deepEqual(await opened.provider.unwrap(opened.fp, body, aad), secret);
    await seal();
    assert.equal(costs()['logins'], 1);
    await opened.provider.selfTest();
    assert.deepEqual(opened.broken, []);
  });

  test('errors between 1000 encryptions spend sessions and never the login', async () => {
    for (let i = 0; i < 1000; i += 1) {
      if (i % 20 === 0) faults.plan('C_Encrypt fail 0x91 times 1');
      await seal();
    }
    assert.deepEqual(costs(), { sessions: 50, searches: 0, logins: 0 });
    assert.equal(faults.calls('C_CloseSession'), 50);
    assert.equal(faults.calls('C_Login'), 0);
  });

  const beyondRepair = ['0x30', '0x31', '0x32', '0xE0', '0xE1', '0x190', '0x5', '0x6'];
  for (const code of beyondRepair) {
    test(`${code} is beyond repair: told once, and nothing is tried any more`, async () => {
      faults.plan(`C_Encrypt fail ${code}`);
      const { provider } = opened;
      const calls = await Promise.allSettled(Array.from({ length: 8 }, seal));
      assert.ok(calls.every(({ status }) => status === 'rejected'));
      const [verdict, ...more] = opened.broken;
      assert.deepEqual(more, []);
      assert.equal(verdict?.code, 'module-failed');
      assert.ok(verdict.message.includes(`(${code.toLowerCase()})`), verdict.message);
      faults.plan();
      faults.forgetTrace();
      await assert.rejects(seal(), { code: 'module-failed' });
      await assert.rejects(provider.selfTest(), { code: 'module-failed' });
      await assert.rejects(provider.load([opened.fp]), { code: 'module-failed' });
      assert.deepEqual(faults.trace(), []);
    });
  }

  test('a module that opens no session any more is broken too', async () => {
    faults.plan('C_Encrypt fail 0x91 times 1', 'C_OpenSession fail 0x30');
    await assert.rejects(seal(), { code: 'module-failed' });
    assert.equal(opened.broken.length, 1);
  });

  for (const code of ['0x68', '0x70', '0x71']) {
    test(`${code} is told as module-unsupported at once, and breaks nothing`, async () => {
      const body = await seal();
      faults.plan(`C_EncryptInit fail ${code}`, `C_DecryptInit fail ${code}`);
      faults.forgetTrace();
      await assert.rejects(seal(), { code: 'module-unsupported' });
      assert.equal(faults.calls('C_EncryptInit'), 1);
      await assert.rejects(opened.provider.unwrap(opened.fp, body, aad), {
        code: 'module-unsupported',
      });
      assert.equal(faults.calls('C_DecryptInit'), 1);
      await assert.rejects(opened.provider.selfTest(), { code: 'module-unsupported' });
      assert.deepEqual(opened.broken, []);
      faults.plan();
      await roundTrip();
    });
  }

  test('a self-test climbs the ladder as well, in each of its steps', async () => {
    for (const step of ['C_Encrypt', 'C_Decrypt', 'C_SignInit', 'C_Sign']) {
      for (const code of ['0xB3', '0x90', '0x82', '0x101']) {
        faults.plan(`${step} fail ${code} times 1`);
        await opened.provider.selfTest();
      }
    }
    assert.deepEqual(opened.broken, []);
    faults.plan('C_Sign fail 0x30');
    await assert.rejects(opened.provider.selfTest(), { code: 'module-failed' });
    assert.equal(opened.broken.length, 1);
  });

  test('a KEK that is gone for good is told as such', async () => {
    faults.plan('C_EncryptInit fail 0x82', 'C_SignInit fail 0x82');
    await assert.rejects(seal(), { code: 'kek-missing' });
    const [verdict] = opened.broken;
    assert.equal(verdict?.code, 'kek-missing');
  });

  describe('failures of calls that throw without a code', () => {
    test('a search that fails is told with its number, and the KEKs in use stay', async () => {
      faults.plan('C_FindObjects fail 0x30');
      await assert.rejects(opened.provider.load([opened.fp]), {
        code: 'module-failed',
        message: /CKR_DEVICE_ERROR \(0x30\)/,
      });
      faults.plan();
      await roundTrip();
    });

    test('a token that is lost in the search is not taken for one without KEKs', async () => {
      faults.plan('C_SignInit fail 0x32');
      await assert.rejects(opened.provider.load([opened.fp]), { code: 'module-failed' });
    });

    test('a copy that the module refuses leaves the KEK in the token, which works', async () => {
      await opened.provider.close();
      faults.plan('C_CopyObject fail 0x1B');
      opened = await openProvider(host, faults);
      assert.equal(faults.called('C_CopyObject').at(-1)?.details.get('rv'), '27');
      await roundTrip();
      await opened.provider.selfTest();
    });

    test('a copy that is another key is thrown away, and the KEK in the token used', async () => {
      await opened.provider.close();
      // The first two C_Sign are of the key in the token, the next two of its copy.
      faults.plan('C_Sign fail 0x5 after 2 times 1');
      opened = await openProvider(host, faults);
      assert.equal(faults.calls('C_DestroyObject'), 1);
      await roundTrip();
    });
  });

  test('an old KEK that the token does not allow to seal any more does not stop the load', async () => {
    await host.run('key', 'create');
    await opened.provider.close();
    faults.plan('C_EncryptInit fail 0x68 times 1');
    opened = await openProvider(host, faults);
    assert.equal(opened.loaded.size, 2);
    await opened.provider.selfTest();
  });
});
