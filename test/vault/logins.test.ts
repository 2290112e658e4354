// Every way to log in, over TLS, on a real server, and what is refused.
import assert from 'node:assert/strict';
import { createSign, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { policyOf } from '../../src/cli/vault/policy.ts';
import { KleidiError } from '../../src/errors.ts';
import { ProviderCounts } from '../../src/providers/counts.ts';
import type { VaultAuth, VaultSettings } from '../../src/providers/vault/configured.ts';
import { openTransit } from '../support/transit.ts';
import { onVault } from '../support/vaultserver.ts';

const aad = Buffer.from('aad');
const seed = Buffer.alloc(32, 9);

await onVault(async (server) => {
  const file = (name: string): string => readFileSync(join(server.folder, name), 'utf8');
  await server.ask('PUT', 'sys/policies/acl/kleidi', { policy: policyOf('transit', 'kleidi') });

  async function sealAndOpen(auth: VaultAuth, more: Partial<VaultSettings> = {}): Promise<void> {
    const vault = await openTransit([server.tlsAddress], auth, { ca: file('ca.pem'), ...more });
    try {
      const [kek] = vault.keks();
      const fp = kek?.fp ?? '';
      assert.deepEqual(await vault.unwrap(fp, await vault.wrap(fp, seed, aad), aad), seed);
    } finally {
      await vault.close();
    }
  }

  async function refusal(work: Promise<unknown>): Promise<KleidiError> {
    const error: unknown = await work.then(
      () => assert.fail('it did not fail'),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof KleidiError, String(error));
    return error;
  }

  const root: VaultAuth = { method: 'token', token: async () => server.rootToken };

  test('TLS: our CA is needed, and the name must fit', async () => {
    await sealAndOpen(root);
    const unknown = await refusal(sealAndOpen(root, { ca: undefined }));
    assert.equal(unknown.code, 'vault-unreachable');
    assert.match(unknown.hint ?? '', /vault\.caFile/);
    const addresses = [server.tlsAddress.replace('localhost', '127.0.0.1')];
    assert.match((await refusal(sealAndOpen(root, { addresses }))).message, /altname|IP/i);
  });

  test('cert: the client certificate logs in, another one does not', async () => {
    await server.ask('POST', 'sys/auth/cert', { type: 'cert' });
    const role = {
      certificate: file('client.pem'),
      token_policies: 'kleidi',
      allowed_common_names: 'client',
    };
    await server.ask('POST', 'auth/cert/certs/kleidi', role);
    const auth = (name: string): VaultAuth => ({
      method: 'cert',
      mount: 'cert',
      role: 'kleidi',
      certificate: file(`${name}.pem`),
      key: async () => file(`${name}.key`),
    });
    await sealAndOpen(auth('client'));
    assert.equal((await refusal(sealAndOpen(auth('server')))).code, 'vault-login-failed');
  });

  test('the lease, the breakers and the ends of certificates are told, and logins counted', async () => {
    const counts = new ProviderCounts();
    const auth: VaultAuth = {
      method: 'cert',
      mount: 'cert',
      role: 'kleidi',
      certificate: file('client.pem'),
      key: async () => file('client.key'),
    };
    const ca = `${file('ca.pem')}${file('client.pem')}`;
    const before = Date.now();
    const vault = await openTransit([server.tlsAddress], auth, { ca }, counts);
    const { lease, breakers, certificates } = vault.server;
    await vault.close();
    assert.ok(lease !== undefined && lease.grantedMs > 0);
    const takenMs = lease.endsUnixMs - lease.grantedMs;
    assert.ok(takenMs >= before && takenMs <= Date.now());
    assert.deepEqual(Object.fromEntries(breakers), { calls: false, logins: false });
    const endOf = (name: string): number => Date.parse(new X509Certificate(file(name)).validTo);
    assert.deepEqual(Object.fromEntries(certificates), {
      client: endOf('client.pem'),
      ca: Math.max(endOf('ca.pem'), endOf('client.pem')),
    });
    const denied = {
      ...auth,
      certificate: file('server.pem'),
      key: async () => file('server.key'),
    };
    await refusal(openTransit([server.tlsAddress], denied, { ca }, counts));
    assert.deepEqual(Object.fromEntries(counts.vaultLogins), { ok: 1, 'vault-login-failed': 1 });
    const eternal = await openTransit([server.tlsAddress], root, { ca });
    assert.equal(eternal.server.lease, undefined, 'the root token does not end');
    await eternal.close();
  });

  test('approle: a wrapped secret id logs in again and again once it is unwrapped, not before', async () => {
    await server.ask('POST', 'sys/auth/approle', { type: 'approle' });
    await server.ask('POST', 'auth/approle/role/kleidi', { token_policies: 'kleidi' });
    const role = await server.ask('GET', 'auth/approle/role/kleidi/role-id');
    const { role_id: roleId } = role['data'] as { role_id: string };
    const reply = await fetch(`${server.address}/v1/auth/approle/role/kleidi/secret-id`, {
      method: 'POST',
      headers: { 'x-vault-token': server.rootToken, 'x-vault-wrap-ttl': '60s' },
    });
    const { wrap_info: wrapped } = (await reply.json()) as { wrap_info: { token: string } };
    const auth = (secret: string): VaultAuth => ({
      method: 'approle',
      mount: 'approle',
      roleId,
      secretId: async () => secret,
    });
    const refused = await refusal(sealAndOpen(auth(wrapped.token)));
    assert.equal(refused.code, 'vault-login-failed');
    assert.match(refused.hint ?? '', /no wrapping token/);
    assert.ok(!`${refused.message}${refused.hint}${refused.cause}`.includes(wrapped.token));
    const { data } = await server.ask('POST', 'sys/wrapping/unwrap', { token: wrapped.token });
    const { secret_id: secretId } = data as { secret_id: string };
    for (let start = 0; start < 3; start += 1) await sealAndOpen(auth(secretId));
  });

  test('jwt: a signed token logs in, an expired one does not', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await server.ask('POST', 'sys/auth/jwt', { type: 'jwt' });
    const pem = publicKey.export({ type: 'spki', format: 'pem' });
    await server.ask('POST', 'auth/jwt/config', { jwt_validation_pubkeys: [pem] });
    const role = {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: ['vault'],
      token_policies: 'kleidi',
    };
    await server.ask('POST', 'auth/jwt/role/kleidi', role);
    const jwt = (lifeS: number): string => {
      const part = (value: object): string =>
        Buffer.from(JSON.stringify(value)).toString('base64url');
      const nowS = Math.floor(Date.now() / 1000);
      const claims = {
        sub: 'host',
        aud: 'vault',
        iat: nowS - 600,
        nbf: nowS - 600,
        exp: nowS + lifeS,
      };
      const text = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}`;
      return `${text}.${createSign('RSA-SHA256').update(text).sign(privateKey).toString('base64url')}`;
    };
    const auth = (lifeS: number): VaultAuth => ({
      method: 'jwt',
      mount: 'jwt',
      role: 'kleidi',
      jwt: async () => jwt(lifeS),
    });
    await sealAndOpen(auth(600));
    assert.equal((await refusal(sealAndOpen(auth(-300)))).code, 'vault-login-failed');
  });
});
