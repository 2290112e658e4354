// The vault provider against a real server: fingerprints, versions, what Vault
// refuses, what happens while it is away, and logins.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { policyOf } from '../../src/cli/vault/policy.ts';
import { KleidiError } from '../../src/errors.ts';
import type { VaultAuth, VaultSettings } from '../../src/providers/vault/configured.ts';
import type { VaultProvider } from '../../src/providers/vault/vault.ts';
import { openTransit } from '../support/transit.ts';
import { onVault } from '../support/vaultserver.ts';

const aad = Buffer.from('header and key id');
const plaintext = randomBytes(32);

await onVault(async (server) => {
  const open: VaultProvider[] = [];
  const root = (): VaultAuth => ({ method: 'token', token: async () => server.rootToken });

  async function provider(
    auth = root(),
    more: Partial<VaultSettings> = {},
  ): Promise<VaultProvider> {
    const opened = await openTransit([server.address], auth, more);
    open.push(opened);
    return opened;
  }

  async function codeOf(work: Promise<unknown>): Promise<string> {
    const error: unknown = await work.then(
      () => assert.fail('it did not fail'),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof KleidiError, String(error));
    assert.ok(!`${error.message}${error.hint}`.includes(server.rootToken));
    return error.code;
  }

  async function appRole(fields: object): Promise<VaultAuth> {
    await server.ask('POST', 'auth/approle/role/kleidi', { token_policies: 'kleidi', ...fields });
    const role = await server.ask('GET', 'auth/approle/role/kleidi/role-id');
    const secret = await server.ask('POST', 'auth/approle/role/kleidi/secret-id');
    const { role_id: roleId } = role['data'] as { role_id: string };
    const { secret_id: secretId } = secret['data'] as { secret_id: string };
    return {
      method: 'approle',
      mount: 'approle',
      roleId,
      secretId: async () => secretId,
    };
  }

  await server.ask('PUT', 'sys/policies/acl/kleidi', { policy: policyOf('transit', 'kleidi') });
  await server.ask('POST', 'sys/auth/approle', { type: 'approle' });

  test('seals and opens; a changed byte, other data or another KEK does not open', async () => {
    const vault = await provider();
    const fp = fingerprintOf(vault, 1);
    assert.match(fp, /^[0-9a-f]{32}$/);
    assert.deepEqual([...(await vault.load([fp, 'ff'.repeat(16)])).keys()], [fp]);
    const body = await vault.wrap(fp, plaintext, aad);
    assert.deepEqual(await vault.unwrap(fp, body, aad), plaintext);
    assert.equal(await codeOf(vault.unwrap(fp, body, Buffer.from('other'))), 'ciphertext-invalid');
    for (const at of [9, 20, body.length - 3]) {
      const changed = Buffer.from(body);
      changed[at] = changed[at] === 65 ? 66 : 65;
      assert.equal(await codeOf(vault.unwrap(fp, changed, aad)), 'ciphertext-invalid');
    }
    await vault.selfTest();
    assert.equal(await codeOf(vault.wrap('00'.repeat(16), plaintext, aad)), 'kek-missing');
  });

  test('a rotation inside Vault changes nothing; the new version is another KEK', async () => {
    const vault = await provider();
    const first = fingerprintOf(vault, 1);
    await server.ask('POST', 'transit/keys/kleidi/rotate');
    const sealed = await vault.wrap(first, plaintext, aad);
    assert.match(sealed.toString(), /^vault:v1:/);
    await vault.load([first]);
    assert.match(vault.notices.join(), /version 2, .*--vault-version 2/);
    assert.equal(fingerprintOf(vault, 1), first);
    const second = fingerprintOf(vault, 2);
    assert.notEqual(second, first);
    assert.match((await vault.wrap(second, plaintext, aad)).toString(), /^vault:v2:/);
    assert.equal(await codeOf(vault.unwrap(second, sealed, aad)), 'ciphertext-invalid');
    assert.deepEqual(await vault.unwrap(first, sealed, aad), plaintext);
  });

  test('a remount keeps the fingerprint, and old data opens', async () => {
    const before = await provider();
    const fp = fingerprintOf(before, 1);
    const sealed = await before.wrap(fp, plaintext, aad);
    await server.ask('POST', 'sys/remount', { from: 'transit', to: 'moved' });
    await sleep(500);
    const after = await provider(root(), { mount: 'moved' });
    assert.deepEqual([...(await after.load([fp])).keys()], [fp]);
    assert.deepEqual(await after.unwrap(fp, sealed, aad), plaintext);
    await server.ask('POST', 'sys/remount', { from: 'moved', to: 'transit' });
    await sleep(500);
  });

  test('a version that the operator disallows is missing, not corrupt, and comes back', async () => {
    const vault = await provider();
    const first = fingerprintOf(vault, 1);
    const sealed = await vault.wrap(first, plaintext, aad);
    await server.ask('POST', 'transit/keys/kleidi/config', { min_decryption_version: 2 });
    assert.equal(await codeOf(vault.unwrap(first, sealed, aad)), 'vault-version-disallowed');
    assert.deepEqual([...(await vault.load([first])).keys()], []);
    assert.equal(await codeOf(vault.unwrap(first, sealed, aad)), 'kek-missing');
    await server.ask('POST', 'transit/keys/kleidi/config', { min_decryption_version: 1 });
    assert.deepEqual([...(await vault.load([first])).keys()], [first]);
    assert.deepEqual(await vault.unwrap(first, sealed, aad), plaintext);
  });

  test('the write KEK is tested as it is written with; a read KEK that is taken away is missing', async () => {
    const config = (fields: object): Promise<unknown> =>
      server.ask('POST', 'transit/keys/kleidi/config', fields);
    const vault = await provider();
    const [first, second] = [fingerprintOf(vault, 1), fingerprintOf(vault, 2)];
    await vault.load([first, second]);
    assert.deepEqual([...(await vault.selfTest(first)).keys()], [first, second]);
    assert.equal(vault.failure, undefined);

    await config({ min_encryption_version: 2 });
    assert.equal(await codeOf(vault.wrap(first, plaintext, aad)), 'vault-version-disallowed');
    assert.deepEqual([...(await vault.selfTest(first)).keys()], [first, second]);
    assert.equal(failureOf(vault)?.code, 'vault-version-disallowed');
    assert.match(failureOf(vault)?.hint ?? '', /min_encryption_version/);
    // It is enough for reading, and the other writes.
    await vault.selfTest(second);
    assert.equal(vault.failure, undefined);

    // A host that starts now cannot tell which KEK version 1 is, and says so.
    const late = await provider();
    assert.deepEqual([...(await late.load([first, second])).keys()], [second]);
    assert.match(late.notices.join(), /version 1 .*min_encryption_version is 2: lower that to 1/);
    await late.selfTest(second);
    assert.equal(late.failure, undefined);
    await config({ min_encryption_version: 0 });
    assert.deepEqual([...(await late.selfTest(second)).keys()].sort(), [first, second].sort());
    await vault.selfTest(first);
    assert.equal(vault.failure, undefined);

    await config({ min_decryption_version: 2 });
    assert.deepEqual([...(await vault.selfTest(second)).keys()], [second]);
    assert.equal(vault.failure, undefined);
    await vault.selfTest(first);
    assert.equal(failureOf(vault)?.code, 'kek-missing');
    await config({ min_decryption_version: 1 });
    assert.deepEqual([...(await vault.selfTest(first)).keys()].sort(), [first, second].sort());
    assert.equal(vault.failure, undefined);
  });

  test('a missing key, mount or fit type is said as such', async () => {
    assert.equal(await codeOf(provider(root(), { key: 'none' })), 'vault-key-missing');
    assert.equal(await codeOf(provider(root(), { mount: 'none' })), 'vault-key-missing');
    await server.ask('POST', 'transit/keys/rsa', { type: 'rsa-2048' });
    assert.equal(await codeOf(provider(root(), { key: 'rsa' })), 'vault-key-unfit');
  });

  test('with the printed policy AppRole is enough: 24 leases pass without an error', async (t) => {
    const vault = await provider(await appRole({ token_ttl: '1s', token_max_ttl: '5s' }));
    const fp = fingerprintOf(vault, 1);
    const endMs = Date.now() + 24_000;
    let calls = 0;
    for (; Date.now() < endMs; calls += 1) {
      const body = await vault.wrap(fp, plaintext, aad);
      assert.deepEqual(await vault.unwrap(fp, body, aad), plaintext);
      await sleep(20);
    }
    t.diagnostic(`${calls} round trips`);
    const wrong: VaultAuth = {
      method: 'approle',
      mount: 'approle',
      roleId: 'x',
      secretId: async () => 'wrong',
    };
    assert.equal(await codeOf(provider(wrong)), 'vault-login-failed');
  });

  test('a revoked token is replaced by a new login; a policy that was taken away is said as such', async () => {
    const vault = await provider(await appRole({ token_ttl: '1h', token_max_ttl: '2h' }));
    const fp = fingerprintOf(vault, 1);
    await server.ask('POST', 'sys/leases/revoke-prefix/auth/approle');
    await vault.wrap(fp, plaintext, aad);
    const less = policyOf('transit', 'kleidi').replace('encrypt', 'nothing');
    await server.ask('PUT', 'sys/policies/acl/kleidi', { policy: less });
    assert.equal(await codeOf(vault.wrap(fp, plaintext, aad)), 'vault-denied');
    await server.ask('PUT', 'sys/policies/acl/kleidi', { policy: policyOf('transit', 'kleidi') });
    await vault.wrap(fp, plaintext, aad);
  });

  test('sealed, killed and frozen: each fails in time, then at once, and heals by itself', async (t) => {
    const vault = await provider();
    const fp = fingerprintOf(vault, 1);
    const wrap = (): Promise<Buffer> => vault.wrap(fp, plaintext, aad);
    for (const outage of outages(server)) {
      await outage.cause();
      for (let i = 0; i < 3; i += 1) {
        assert.equal(await codeOf(wrap()), outage.code, outage.name);
      }
      assert.equal(vault.failure?.code, outage.code, `${outage.name}: the breaker is not open`);
      await outage.fix();
      const mendedMs = Date.now();
      await heals(wrap);
      t.diagnostic(`${outage.name}: serves ${Date.now() - mendedMs} ms after it was fixed`);
    }
  });

  test('of two addresses, the one that can be reached is asked', async () => {
    const vault = await provider(root(), { addresses: ['http://127.0.0.1:9', server.address] });
    await vault.wrap(fingerprintOf(vault, 1), plaintext, aad);
  });

  test('all is closed', async () => {
    for (const each of open) await each.close();
  });
});

interface Outage {
  readonly name: string;
  readonly code: string;
  cause(): Promise<void>;
  fix(): Promise<void>;
}

type Server = Parameters<Parameters<typeof onVault>[0]>[0];

function outages(server: Server): readonly Outage[] {
  return [
    {
      name: 'sealed',
      code: 'vault-sealed',
      cause: () => server.seal(),
      fix: () => server.unseal(),
    },
    {
      name: 'killed',
      code: 'vault-unreachable',
      cause: () => server.kill(),
      fix: async () => {
        await server.run();
        await server.unseal();
      },
    },
    {
      name: 'frozen',
      code: 'vault-unreachable',
      cause: async () => server.pause(),
      fix: async () => server.resume(),
    },
  ];
}

async function heals(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; tries < 1_200; tries += 1) {
    if (
      await work()
        .then(() => true)
        .catch(() => false)
    )
      return;
    await sleep(50);
  }
  assert.fail('it does not heal');
}

function fingerprintOf(vault: VaultProvider, version: number): string {
  return vault.keks().find((kek) => kek.version === version)?.fp ?? '';
}

/** Asked anew each time: the compiler takes a getter for a constant. */
function failureOf(vault: VaultProvider): KleidiError | undefined {
  return vault.failure;
}
