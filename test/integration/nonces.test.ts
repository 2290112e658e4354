// The nonces of a running daemon: none comes twice, each is one read from the kernel,
// in the thread of the event loop and in threads of their own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { KmsClient } from '../support/client.ts';
import { FaultModule } from '../support/faultmodule.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { missingTool } from '../support/skip.ts';

const seed = Buffer.alloc(32, 7);
const skip = missingTool('cc');

/** After the header of 20 bytes. */
async function nonceOf(client: KmsClient): Promise<string> {
  const { ciphertext } = await client.encrypt(seed);
  return ciphertext.subarray(20, 32).toString('hex');
}

function givenRandom(): string {
  const library = join(temporaryFolder(), 'givenrandom.so');
  const source = fileURLToPath(new URL('../support/givenrandom.c', import.meta.url));
  execFileSync('cc', [
    '-shared',
    '-fPIC',
    '-O1',
    '-Wall',
    '-Wextra',
    '-o',
    library,
    source,
    '-ldl',
  ]);
  return library;
}

test('10,000 Encrypts have 10,000 nonces', async () => {
  const host = await TestHost.provisioned();
  await host.serve();
  const client = new KmsClient(host.socket);
  const nonces = new Set<string>();
  for (let i = 0; i < 10_000; i += 1) nonces.add(await nonceOf(client));
  client.close();
  assert.equal(nonces.size, 10_000);
  assert.ok(!nonces.has('0'.repeat(24)));
});

test('each Encrypt has what the kernel gives it, once and in order', { skip }, async () => {
  const host = await TestHost.provisioned({ selfTest: { intervalMs: 600_000 } });
  await host.serve({ LD_PRELOAD: givenRandom() });
  const client = new KmsClient(host.socket);
  const first = Number.parseInt(await nonceOf(client), 16);
  for (let i = 1; i < 20; i += 1) {
    assert.equal(Number.parseInt(await nonceOf(client), 16), first + i);
  }
  client.close();
});

test('so do those in threads, where the module is slow', { skip }, async () => {
  const faults = new FaultModule();
  const host = await TestHost.provisioned({ selfTest: { intervalMs: 600_000 } });
  host.configure({
    selfTest: { intervalMs: 600_000 },
    pkcs11: { module: faults.path },
  });
  faults.plan('C_EncryptInit delay 15', 'C_DecryptInit delay 15');
  await host.serve({ ...faults.env, LD_PRELOAD: givenRandom() });
  const client = new KmsClient(host.socket);
  const first = Number.parseInt(await nonceOf(client), 16);
  const numbers = await Promise.all(Array.from({ length: 20 }, () => nonceOf(client)));
  const sorted = numbers.map((nonce) => Number.parseInt(nonce, 16)).sort((a, b) => a - b);
  assert.deepEqual(
    sorted,
    Array.from({ length: 20 }, (_, i) => first + 1 + i),
  );
  client.close();
});
