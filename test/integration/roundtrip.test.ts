import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';

test('a seed is sealed to 80 bytes and opens after a restart under the same key id', async () => {
  const host = await TestHost.provisioned();
  const first = await host.serve();
  const client = new KmsClient(host.socket);
  const seed = randomBytes(32);
  const status = await client.status();
  assert.equal(status.version, 'v2');
  assert.equal(status.healthz, 'ok');
  const { ciphertext, keyId, annotations } = await client.encrypt(seed);
  assert.equal(ciphertext.length, 80);
  assert.equal(keyId, status.keyId);
  assert.deepEqual(annotations, {});
  assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
  assert.equal(await first.stop(), 0);

  await host.serve();
  const again = new KmsClient(host.socket);
  assert.equal((await again.status()).keyId, keyId);
  assert.deepEqual(await again.decrypt(ciphertext, keyId), seed);
});
