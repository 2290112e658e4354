// The daemon over a real Vault: rotation by promotion alone, outages, and a ring
// that holds a PKCS#11 and a Vault KEK at once.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseRing, type Ring } from '../../src/keyring/ring.ts';
import { readRing, writeRing } from '../../src/keyring/ringfile.ts';
import { promote } from '../../src/keyring/transitions.ts';
import type { VaultAuth } from '../../src/providers/vault/configured.ts';
import { KmsClient } from '../support/client.ts';
import { Daemon } from '../support/daemon.ts';
import { TestHost } from '../support/host.ts';
import { openTransit } from '../support/transit.ts';
import { onVault } from '../support/vaultserver.ts';

const seed = randomBytes(32);

await onVault(async (server) => {
  const host = await TestHost.provisioned({ selfTest: { intervalMs: 500 } });
  const tokenPath = join(host.folder, 'vault-token');
  writeFileSync(tokenPath, server.rootToken);
  chmodSync(tokenPath, 0o400);
  host.configure({
    selfTest: { intervalMs: 500 },
    vault: { address: [server.address], auth: { method: 'token', token: `file:${tokenPath}` } },
  });
  const [tokenFp = ''] = host.ring.keks.map((kek) => kek.fp);
  const vaultFp = await firstFingerprint(server.address, server.rootToken);
  let daemon = await Daemon.start(host.configPath, host.socket);
  after(() => daemon.stop());
  const client = new KmsClient(host.socket);

  async function change(step: (ring: Ring) => Ring): Promise<void> {
    await writeRing(host.ringPath, step(await readRing(host.ringPath)));
  }

  async function until(good: () => Promise<boolean>): Promise<void> {
    for (let tries = 0; tries < 1_200; tries += 1) {
      if (await good().catch(() => false)) return;
      await sleep(50);
    }
    assert.fail('not within a minute');
  }

  const writes = (fp: string) => async () => (await client.status()).keyId.endsWith(fp);

  test('the printed policy is one that Vault takes, doctor looks at the key', async () => {
    const policy = await host.run('vault', 'policy');
    await server.ask('PUT', 'sys/policies/acl/kleidi', { policy: policy.stdout });
    const doctor = await host.run('doctor', '--only', 'vault', '--json');
    assert.match(doctor.stdout, /Transit key 'kleidi' has 1 usable versions/);
    assert.match(doctor.stdout, /--vault-version 1/);
  });

  test('a KEK moves from the token to Vault and back by promotion alone, under load', async () => {
    const old = await client.encrypt(seed);
    let calls = 0;
    let running = true;
    const load = (async () => {
      while (running) {
        const { ciphertext, keyId } = await client.encrypt(seed);
        assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
        assert.deepEqual(await client.decrypt(old.ciphertext, old.keyId), seed);
        calls += 1;
      }
    })();
    const imported = await host.run('key', 'import', '--vault-version', '1', '--json');
    const due = { keks: [{ fp: vaultFp, state: 'staged', version: 1 }] };
    assert.deepEqual(JSON.parse(imported.stdout || '{}'), due, imported.stderr);
    await until(async () => (await host.run('status', '--json')).stdout.includes('Vault Transit'));
    const promoted = await host.run('key', 'promote', vaultFp);
    assert.equal(promoted.exitCode, 0, promoted.stderr);
    await until(writes(vaultFp));
    const inVault = await client.encrypt(seed);
    assert.equal(inVault.ciphertext.readUInt8(3), 2);
    assert.ok(inVault.ciphertext.length <= 1024);
    await change((ring) => promote(ring, tokenFp, 3));
    await until(writes(tokenFp));
    assert.deepEqual(await client.decrypt(inVault.ciphertext, inVault.keyId), seed);
    running = false;
    await load;
    assert.ok(calls > 10);
  });

  test('while Vault holds only an old KEK, its outage is told and costs nothing else', async () => {
    await server.seal();
    await until(async () => (await host.run('status', '--json')).stdout.includes('sealed'));
    const { healthz, keyId } = await client.status();
    assert.equal(healthz, 'ok');
    const sealed = await client.encrypt(seed);
    assert.equal(sealed.keyId, keyId);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
    await server.unseal();
    await until(async () => !(await host.run('status', '--json')).stdout.includes('sealed'));
  });

  test('while Vault holds the write KEK, its outage makes Status an error, and it heals', async (t) => {
    await change((ring) => promote(ring, vaultFp, 4));
    await until(writes(vaultFp));
    const sealed = await client.encrypt(seed);
    await server.kill();
    await until(() =>
      client.status().then(
        () => false,
        () => true,
      ),
    );
    await assert.rejects(client.encrypt(seed), /Vault cannot be reached/);
    await server.run();
    await server.unseal();
    const mendedMs = Date.now();
    await until(writes(vaultFp));
    t.diagnostic(`serves ${Date.now() - mendedMs} ms after it was fixed`);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
  });

  test('a daemon that starts while Vault is away answers at once, and serves when it is back', async () => {
    await server.kill();
    await daemon.stop();
    const lines = [...daemon.lines];
    daemon = await Daemon.start(host.configPath, host.socket);
    await assert.rejects(client.status(), /Vault cannot be reached/);
    await server.run();
    await server.unseal();
    await until(writes(vaultFp));
    assert.ok(!JSON.stringify([...lines, ...daemon.lines]).includes(server.rootToken));
  });

  test('a version that was rotated in Vault is told of, and not written with', async () => {
    await server.ask('POST', 'transit/keys/kleidi/rotate');
    await sleep(100);
    await change((ring) =>
      parseRing(JSON.stringify({ ...ring, generation: ring.generation + 1 }), ''),
    );
    await until(async () =>
      (await host.run('status', '--json')).stdout.includes('--vault-version 2'),
    );
    assert.match((await client.encrypt(seed)).ciphertext.subarray(20).toString(), /^vault:v1:/);
  });

  const config = (fields: object): Promise<unknown> =>
    server.ask('POST', 'transit/keys/kleidi/config', fields);
  const healthz = async (): Promise<string> => (await client.status()).healthz;

  test('a read version that Vault takes away is a missing KEK, and comes back by itself', async () => {
    const old = await client.encrypt(seed);
    const imported = await host.run('key', 'import', '--vault-version', '2', '--json');
    const { keks } = JSON.parse(imported.stdout) as { keks: [{ fp: string }] };
    await host.run('key', 'promote', keks[0].fp);
    await until(writes(keks[0].fp));
    await config({ min_decryption_version: 2 });
    await until(async () => (await healthz()).includes(`lacks KEK ${vaultFp}`));
    const sealed = await client.encrypt(seed);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
    await assert.rejects(client.decrypt(old.ciphertext, old.keyId), /lacks the KEK|not hold KEK/);
    await config({ min_decryption_version: 1 });
    await until(async () => (await healthz()) === 'ok');
    assert.deepEqual(await client.decrypt(old.ciphertext, old.keyId), seed);
  });

  test('a minimum above the version that is written with makes Status an error, and lowering it heals', async () => {
    const keyId = (await client.status()).keyId;
    await server.ask('POST', 'transit/keys/kleidi/rotate');
    await config({ min_encryption_version: 3 });
    await until(() =>
      client.status().then(
        () => false,
        (error: Error) => /no longer allows this key version/.test(error.message),
      ),
    );
    await assert.rejects(client.encrypt(seed), /no longer allows this key version/);
    await config({ min_encryption_version: 0 });
    await until(async () => (await client.status()).keyId === keyId);
    const sealed = await client.encrypt(seed);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
  });
});

async function firstFingerprint(address: string, token: string): Promise<string> {
  const auth: VaultAuth = { method: 'token', token: async () => token };
  const vault = await openTransit([address], auth);
  const [kek] = vault.keks();
  await vault.close();
  return kek?.fp ?? '';
}
