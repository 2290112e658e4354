// What kleidi does to a Vault that refuses it: few logins, whoever asks, and what
// it says meanwhile. And a key that changes under its name. The clock stands still
// where a test counts, so that no verdict hangs on the speed of the machine.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KleidiError } from '../../src/errors.ts';
import { Keyring } from '../../src/keyring/keyring.ts';
import type { Ring } from '../../src/keyring/ring.ts';
import { KmsService } from '../../src/kms/service.ts';
import { Serving } from '../../src/kms/serving.ts';
import type { VaultAuth } from '../../src/providers/vault/configured.ts';
import type { VaultProvider } from '../../src/providers/vault/vault.ts';
import { HostileVault, sendJson } from '../support/hostilevault.ts';
import { openTransit } from '../support/transit.ts';

const aad = Buffer.from('aad');
const seed = Buffer.alloc(32, 5);
const appRole: VaultAuth = {
  method: 'approle',
  mount: 'approle',
  roleId: 'role',
  secretId: async () => 'a-secret-id',
};

async function opened(
  t: TestContext,
  server: HostileVault,
  auth = appRole,
): Promise<VaultProvider> {
  const vault = await openTransit([server.address], auth, { ca: server.ca, callTimeoutMs: 20_000 });
  t.after(() => vault.close());
  return vault;
}

/** Stands still until the test moves it. */
function clock(t: TestContext): { advance(ms: number): void } {
  let nowMs = performance.now();
  t.mock.method(performance, 'now', () => nowMs);
  return {
    advance: (ms) => {
      nowMs += ms;
    },
  };
}

const fpOf = (vault: VaultProvider, version = 1): string =>
  vault.keks().find((kek) => kek.version === version)?.fp ?? '';

async function codesOf(work: () => Promise<unknown>, times: number): Promise<Set<string>> {
  const code = (): Promise<string> =>
    work().then(
      () => 'ok',
      (thrown: unknown) => KleidiError.from(thrown).code,
    );
  const codes = new Set(await Promise.all(Array.from({ length: times }, code)));
  for (let i = 0; i < times; i += 1) codes.add(await code());
  return codes;
}

test('a dead token and a refused login: 100 Decrypts make one login, and heal', async (t) => {
  const server = await HostileVault.start();
  const vault = await opened(t, server);
  const time = clock(t);
  const fp = fpOf(vault);
  const sealed = await vault.wrap(fp, seed, aad);
  server.tokens.clear();
  server.isLoginRefused = true;
  const decrypt = (): Promise<Buffer> => vault.unwrap(fp, sealed, aad);
  for (const [waitMs, logins] of [
    [0, 2],
    [1_000, 3],
    [2_000, 4],
  ] as const) {
    time.advance(waitMs);
    assert.deepEqual(await codesOf(decrypt, 50), new Set(['vault-login-failed']));
    assert.equal(server.count('login'), logins);
    assert.equal(vault.failure?.code, 'vault-login-failed');
  }
  server.isLoginRefused = false;
  time.advance(60_000);
  assert.deepEqual(await decrypt(), seed);
  assert.equal(vault.failure, undefined);
  assert.deepEqual(await codesOf(decrypt, 50), new Set(['ok']));
  assert.equal(server.count('login'), 5);
});

test('a token that is dead when it comes counts as a refused login', async (t) => {
  const server = await HostileVault.start();
  const vault = await opened(t, server);
  clock(t);
  const fp = fpOf(vault);
  server.tokens.clear();
  server.answerBadly('login', (response) =>
    sendJson(response, {
      auth: { client_token: 'dead', lease_duration: 3_600, renewable: true },
    }),
  );
  const codes = await codesOf(() => vault.wrap(fp, seed, aad), 50);
  assert.ok(codes.has('vault-login-failed'));
  assert.ok(!codes.has('ok'));
  assert.equal(server.count('login'), 2);
});

test('renewal in the background makes no storm of logins either', async (t) => {
  const server = await HostileVault.start();
  server.lease = { lease_duration: 1, renewable: true };
  const vault = await opened(t, server);
  clock(t);
  server.isLoginRefused = true;
  server.answerBadly('renew', (response) => sendJson(response, { errors: ['no'] }, 403));
  for (let tries = 0; server.count('renew') < 4 && tries < 3_000; tries += 1) await sleep(20);
  assert.ok(server.count('renew') >= 4);
  // The first, and the one that is refused.
  assert.equal(server.count('login'), 2);
  // Its token still lives, so calls and Status are well.
  await vault.wrap(fpOf(vault), seed, aad);
  assert.equal(vault.failure, undefined);
});

test('an expired token that cannot be renewed says what to do; a new one is taken up', async (t) => {
  const server = await HostileVault.start();
  const token = { text: 'hvs.first' };
  server.tokens.add(token.text);
  const vault = await opened(t, server, { method: 'token', token: async () => token.text });
  const time = clock(t);
  const fp = fpOf(vault);
  await vault.wrap(fp, seed, aad);
  server.tokens.clear();
  const before = server.count('lookup');
  const codes = await codesOf(() => vault.wrap(fp, seed, aad), 50);
  assert.deepEqual(codes, new Set(['vault-login-failed']));
  assert.ok(server.count('lookup') - before <= 3, `${server.count('lookup') - before} looks`);
  assert.match(`${vault.failure?.message}`, /it has expired or was revoked/);
  assert.match(`${vault.failure?.hint}`, /new token.*approle, cert or jwt/);
  token.text = 'hvs.second';
  server.tokens.add(token.text);
  time.advance(60_000);
  await vault.selfTest(fp);
  assert.equal(vault.failure, undefined);
  await vault.wrap(fp, seed, aad);
});

test('a key that was deleted and made anew is not written with under the old key id', async (t) => {
  const server = await HostileVault.start();
  const vault = await opened(t, server);
  const fp = fpOf(vault);
  assert.deepEqual([...(await vault.load([fp])).keys()], [fp]);
  server.birth = 'second';
  assert.deepEqual([...(await vault.selfTest(fp)).keys()], []);
  assert.equal(vault.failure?.code, 'kek-missing');
  await assert.rejects(vault.wrap(fp, seed, aad), { code: 'kek-missing' });
  server.birth = 'first';
  assert.deepEqual([...(await vault.selfTest(fp)).keys()], [fp]);
  assert.equal(vault.failure, undefined);
});

test('two versions with one fingerprint are a failure of Vault', async (t) => {
  const server = await HostileVault.start();
  server.versions = [1, 2];
  const mac = Buffer.alloc(32).toString('base64');
  let version = 0;
  server.answerBadly('hmac', (response) => {
    version += 1;
    sendJson(response, { data: { hmac: `vault:v${version}:${mac}` } });
  });
  await assert.rejects(opened(t, server), { code: 'vault-failed' });
});

test('the longest plaintext opens again; one byte more is refused before any call', async (t) => {
  const server = await HostileVault.start();
  server.versions = [999_999_999];
  const vault = await opened(t, server);
  const fp = fpOf(vault, 999_999_999);
  const usable = await vault.load([fp]);
  const check = usable.get(fp) ?? '';
  const kek = {
    fp,
    check,
    state: 'write',
    provider: 'vault',
    recovery: null,
    created: '',
  } as const;
  const name = { ring: 'r'.repeat(10), ringId: '5e'.repeat(16) };
  const ring: Ring = { format: 2, ...name, generation: 1, keks: [kek] };
  const live = new Serving();
  live.serve(new Keyring(ring, [{ provider: vault, usable }]));
  const service = new KmsService(live, 8);
  const context = { over: () => undefined };
  const { ciphertext, keyId } = await service.encrypt(Buffer.alloc(700, 1), context);
  assert.ok(ciphertext.length <= 1_024, `${ciphertext.length} bytes`);
  const plaintext = await service.decrypt(ciphertext, keyId, context);
  assert.deepEqual(plaintext, Buffer.alloc(700, 1));
  const before = server.count('encrypt');
  for (const bytes of [0, 701, 800, 900, 901]) {
    const refused = { code: 'plaintext-invalid', message: /bytes, allowed .*are 1 to/ };
    await assert.rejects(service.encrypt(Buffer.alloc(bytes), context), refused);
  }
  assert.equal(server.count('encrypt'), before);
});
