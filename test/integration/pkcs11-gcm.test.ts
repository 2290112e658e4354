// What the module is asked for when a KEK seals and opens, as the module sees
// it, and what becomes of a ciphertext that it refuses.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, describe, test } from 'node:test';
import { FaultModule, openProvider } from '../support/faultmodule.ts';
import { TestHost } from '../support/host.ts';
import { missingTool } from '../support/skip.ts';

const secret = randomBytes(32);
const aad = Buffer.from('header and key id');
const bodyBytes = 12 + secret.length + 16;

describe('AES-GCM as the module sees it', { skip: missingTool('cc') }, async () => {
  const faults = new FaultModule();
  const host = await TestHost.provisioned();
  const opened = await openProvider(host, faults);
  afterEach(() => faults.plan());
  after(() => opened.provider.close());

  async function spoilt(): Promise<Buffer> {
    const body = await opened.provider.wrap(opened.fp, secret, aad);
    body.writeUInt8(body.readUInt8(bodyBytes - 1) ^ 1, bodyBytes - 1);
    return body;
  }

  test('1000 encryptions name a whole tag, a nonce that never comes twice, and the authenticated data', async () => {
    const { provider, fp } = opened;
    faults.forgetTrace();
    for (let i = 0; i < 1000; i += 1) {
      const body = await provider.wrap(fp, secret, aad);
      assert.equal(body.length, bodyBytes);
      if (i % 100 === 0) assert.deepEqual(await provider.unwrap(fp, body, aad), secret);
    }
    const sealing = faults.called('C_EncryptInit');
    assert.equal(sealing.length, 1000);
    for (const { details } of [...sealing, ...faults.called('C_DecryptInit')]) {
      assert.equal(details.get('tagBits'), '128');
      assert.equal(details.get('ivBits'), '96');
      assert.equal(details.get('aad'), String(aad.length));
    }
    const nonces = new Set(sealing.map(({ details }) => details.get('iv')));
    assert.equal(nonces.size, 1000);
    assert.ok(!nonces.has('0'.repeat(24)));
  });

  test('the nonce that the module was given is the one in front of the ciphertext', async () => {
    faults.forgetTrace();
    const body = await opened.provider.wrap(opened.fp, secret, aad);
    const [call] = faults.called('C_EncryptInit');
    assert.equal(call?.details.get('iv'), body.subarray(0, 12).toString('hex'));
  });

  test('an answer without a tag is refused, and nothing is broken by it', async () => {
    const { provider, fp, broken } = opened;
    faults.plan('C_Encrypt shorten 16');
    await assert.rejects(provider.wrap(fp, secret, aad), { code: 'module-failed', message: /32/ });
    faults.plan();
    const body = await provider.wrap(fp, secret, aad);
    faults.plan('C_Decrypt shorten 1');
    await assert.rejects(provider.unwrap(fp, body, aad), { code: 'module-failed', message: /31/ });
    faults.plan();
    assert.deepEqual(await provider.unwrap(fp, body, aad), secret);
    assert.deepEqual(broken, []);
  });

  test('empty input never reaches the module, and the session stays usable', async () => {
    const { provider, fp } = opened;
    const empty = Buffer.alloc(0);
    faults.forgetTrace();
    await assert.rejects(provider.wrap(fp, empty, aad), { code: 'internal' });
    await assert.rejects(provider.wrap(fp, secret, empty), { code: 'internal' });
    for (const bytes of [0, 12, 28]) {
      const short = Buffer.alloc(bytes, 1);
      await assert.rejects(provider.unwrap(fp, short, aad), { code: 'ciphertext-invalid' });
    }
    for (const name of ['C_EncryptInit', 'C_Encrypt', 'C_DecryptInit', 'C_Decrypt']) {
      assert.equal(faults.calls(name), 0, name);
    }
    const body = await provider.wrap(fp, secret, aad);
    assert.deepEqual(await provider.unwrap(fp, body, aad), secret);
  });

  test('a tag that is wrong is told from a dead token by a self-test, and blamed on the request', async () => {
    const { provider, fp, broken } = opened;
    const body = await spoilt();
    faults.forgetTrace();
    await assert.rejects(provider.unwrap(fp, body, aad), { code: 'ciphertext-invalid' });
    const answers = faults.called('C_Decrypt').map(({ details }) => details.get('rv'));
    assert.deepEqual(answers, ['5', '0', '5'], 'refused, self-test, refused again');
    await assert.rejects(provider.unwrap(fp, await spoilt(), Buffer.from('other')), {
      code: 'ciphertext-invalid',
    });
    await provider.selfTest();
    assert.deepEqual(broken, []);
  });

  test('ENCRYPTED_DATA_INVALID, which other modules answer, is blamed on the request too', async () => {
    const { provider, fp, broken } = opened;
    const body = await spoilt();
    for (const code of ['0x40', '0x41', '0x21']) {
      // The self-test between the two gets a good answer.
      faults.plan(`C_Decrypt fail ${code} times 1`, `C_Decrypt fail ${code} after 2 times 1`);
      await assert.rejects(provider.unwrap(fp, body, aad), { code: 'ciphertext-invalid' });
    }
    assert.deepEqual(broken, []);
  });

  test('a good ciphertext that is refused for a moment only is opened', async () => {
    const { provider, fp } = opened;
    const body = await provider.wrap(fp, secret, aad);
    faults.plan('C_Decrypt fail 0x5 times 1');
    assert.deepEqual(await provider.unwrap(fp, body, aad), secret);
  });

  test('where the self-test is refused too, the module is broken, and that is told once', async () => {
    const { provider, fp, broken } = opened;
    const body = await spoilt();
    faults.plan('C_Decrypt fail 0x5');
    const calls = Array.from({ length: 5 }, () => provider.unwrap(fp, body, aad));
    for (const call of await Promise.allSettled(calls)) assert.equal(call.status, 'rejected');
    const [verdict, ...more] = broken;
    assert.equal(verdict?.code, 'module-failed');
    assert.deepEqual(more, []);
    faults.plan();
    const { message } = verdict;
    await assert.rejects(provider.wrap(fp, secret, aad), { message }, 'nothing is tried any more');
    await assert.rejects(provider.selfTest(), { message });
  });

  test('a module that leaves out the tag from the start is not loaded', async () => {
    await opened.provider.close();
    faults.plan('C_Encrypt shorten 16');
    await assert.rejects(openProvider(host, faults), { code: 'module-failed' });
  });
});
