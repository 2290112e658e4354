// A Vault that ignores additional data, as those before 1.13.0 do: a real server behind a
// proxy that drops the field. It is found out, and told from one that does not answer.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KleidiError } from '../../src/errors.ts';
import { emptyRing, formatRing } from '../../src/keyring/ring.ts';
import type { VaultProvider } from '../../src/providers/vault/vault.ts';
import { KmsClient } from '../support/client.ts';
import { Daemon } from '../support/daemon.ts';
import { TestHost } from '../support/host.ts';
import { openTransit } from '../support/transit.ts';
import { dropsAssociatedData, honest, type Meddling, VaultProxy } from '../support/vaultproxy.ts';
import { onVault } from '../support/vaultserver.ts';

const aad = Buffer.from('header and key id');
const seed = randomBytes(32);

await onVault(async (server) => {
  const proxy = await VaultProxy.start(server.address);
  const open = (): Promise<VaultProvider> =>
    openTransit([proxy.address], { method: 'token', token: async () => server.rootToken });

  async function codeOf(work: Promise<unknown>): Promise<string> {
    return work.then(
      () => 'none',
      (thrown: unknown) => KleidiError.from(thrown).code,
    );
  }

  /** Answers every decrypt but the first after it was set, with this status. */
  function failsSecondDecrypt(status: number): Meddling {
    let decrypts = 0;
    return (operation) => {
      if (operation === 'decrypt') decrypts += 1;
      return operation === 'decrypt' && decrypts % 2 === 0 ? { status } : {};
    };
  }

  test('what drops the field from the start is not opened', async () => {
    proxy.meddling = dropsAssociatedData;
    assert.equal(await codeOf(open()), 'vault-unbound');
    proxy.meddling = honest;
    await (await open()).close();
  });

  test('what drops the field later is refused by the next load and test, and used no more', async () => {
    const vault = await open();
    const [{ fp } = { fp: '' }] = vault.keks();
    await vault.load([fp]);
    await vault.selfTest(fp);
    const sealed = await vault.wrap(fp, seed, aad);
    proxy.meddling = dropsAssociatedData;
    assert.equal(await codeOf(vault.selfTest(fp)), 'vault-unbound');
    assert.equal(await codeOf(vault.load([fp])), 'vault-unbound');
    const before = [proxy.count('encrypt'), proxy.count('decrypt')];
    assert.equal(await codeOf(vault.wrap(fp, seed, aad)), 'vault-unbound');
    assert.equal(await codeOf(vault.unwrap(fp, sealed, aad)), 'vault-unbound');
    assert.deepEqual([proxy.count('encrypt'), proxy.count('decrypt')], before);
    proxy.meddling = honest;
    await vault.selfTest(fp);
    assert.deepEqual(await vault.unwrap(fp, await vault.wrap(fp, seed, aad), aad), seed);
    assert.deepEqual(await vault.unwrap(fp, sealed, aad), seed);
    await vault.close();
  });

  test('a load alone finds it out', async () => {
    const vault = await open();
    const [{ fp } = { fp: '' }] = vault.keks();
    proxy.meddling = dropsAssociatedData;
    assert.equal(await codeOf(vault.load([fp])), 'vault-unbound');
    assert.equal(await codeOf(vault.wrap(fp, seed, aad)), 'vault-unbound');
    proxy.meddling = honest;
    await vault.close();
  });

  test('no answer to the decrypt that must fail is no answer, and proves nothing', async () => {
    for (const [status, code] of [
      [0, 'vault-unreachable'],
      [503, 'vault-sealed'],
      [429, 'vault-throttled'],
    ] as const) {
      proxy.meddling = failsSecondDecrypt(status);
      assert.equal(await codeOf(open()), code);
      proxy.meddling = honest;
      const vault = await open();
      const [{ fp } = { fp: '' }] = vault.keks();
      await vault.load([fp]);
      proxy.meddling = failsSecondDecrypt(status);
      assert.equal(await codeOf(vault.selfTest(fp)), 'none');
      assert.equal(vault.failure?.code, code);
      proxy.meddling = honest;
      await vault.wrap(fp, seed, aad);
      await vault.close();
    }
  });

  test('a host that may not open what it seals seals nothing, as it cannot know', async () => {
    proxy.meddling = (operation) => (operation === 'decrypt' ? { status: 403 } : {});
    const vault = await open();
    const [{ fp } = { fp: '' }] = vault.keks();
    assert.equal(vault.failure?.code, 'vault-denied');
    assert.equal(await codeOf(vault.wrap(fp, seed, aad)), 'vault-denied');
    proxy.meddling = honest;
    assert.deepEqual(await vault.unwrap(fp, await vault.wrap(fp, seed, aad), aad), seed);
    await vault.close();
  });

  test('the daemon answers Status and calls with the reason, and serves when it is fixed', async () => {
    const host = new TestHost();
    const token = join(host.folder, 'vault-token');
    writeFileSync(token, server.rootToken);
    chmodSync(token, 0o400);
    const auth = { method: 'token', token: `file:${token}` };
    host.configure({
      selfTest: { intervalMs: 500 },
      vault: { address: [proxy.address], auth },
    });
    mkdirSync(dirname(host.ringPath), { recursive: true });
    writeFileSync(host.ringPath, formatRing(emptyRing('test')));
    const imported = await host.run('key', 'import', '--vault-version', '1', '--json');
    const { keks } = JSON.parse(imported.stdout) as { keks: [{ fp: string }] };
    assert.equal((await host.run('key', 'promote', keks[0].fp)).exitCode, 0);
    const daemon = await Daemon.start(host.configPath, host.socket);
    after(() => daemon.stop());
    const client = new KmsClient(host.socket);
    const sealed = await client.encrypt(seed);
    proxy.meddling = dropsAssociatedData;
    const unbound = /does not bind additional data/;
    await until(() =>
      client.status().then(
        () => false,
        (error: Error) => unbound.test(error.message),
      ),
    );
    await assert.rejects(client.encrypt(seed), unbound);
    await assert.rejects(client.decrypt(sealed.ciphertext, sealed.keyId), unbound);
    const refused = await host.run('key', 'import', '--vault-version', '1');
    assert.match(refused.stderr, /Vault 1\.13 or OpenBao 2\.0/);
    proxy.meddling = honest;
    await until(() => client.status().then(() => true));
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
  });
});

async function until(good: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1_200; tries += 1) {
    if (await good().catch(() => false)) return;
    await sleep(50);
  }
  assert.fail('not within a minute');
}
