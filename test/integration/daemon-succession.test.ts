// What may take the place of a keyring that is in use: its successor and nothing
// else, also while a provider fails; and what is refused is tried again.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RingKek } from '../../src/keyring/ring.ts';
import { promote } from '../../src/keyring/transitions.ts';
import { KmsClient, type Status } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { createKek, putRing, statusOnce } from '../support/servedring.ts';

const seed = randomBytes(32);
const created = '2026-01-01T00:00:00Z';
const vaultFp = 'cd'.repeat(16);

const kek = (fp: string, state: RingKek['state'], provider: RingKek['provider']): RingKek => ({
  fp,
  check: fp,
  state,
  provider,
  recovery: null,
  created,
});

const until = (client: KmsClient, good: (status: Status) => boolean): Promise<Status> =>
  statusOnce(client, good, 20_000);

/** With a second KEK staged in the token. */
async function twoKeks(): Promise<{ host: TestHost; first: string; second: string }> {
  const host = await TestHost.provisioned({ verifier: { intervalMs: 3_600_000 } });
  const [first = ''] = host.ring.keks.map(({ fp }) => fp);
  return { host, first, second: await createKek(host) };
}

test('two rings of one generation with two write KEKs are never both announced', async () => {
  const { host, first, second } = await twoKeks();
  const base = host.ring;
  const [a, b] = [promote({ ...base, generation: 1 }, second, 2), { ...base, generation: 2 }];
  putRing(host, a);
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  assert.equal((await client.status()).keyId, `k1.test.2.${second}`);
  putRing(host, b);
  const refused = await daemon.event('ring-refused');
  assert.match(String(refused['msg']), new RegExp(`generation 2 has write KEK ${first} there`));
  const { keyId, healthz } = await client.status();
  assert.deepEqual([keyId, healthz], [`k1.test.2.${second}`, 'ok']);
  assert.equal((await client.encrypt(seed)).keyId, keyId);
  await daemon.stop();
});

test('a ring without the KEK that this host writes with is refused', async () => {
  const { host, first, second } = await twoKeks();
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const next = promote(host.ring, second, 2);
  putRing(host, { ...next, keks: next.keks.filter(({ fp }) => fp !== first) });
  await daemon.event('ring-refused');
  assert.equal((await client.status()).keyId, `k1.test.1.${first}`);
  await daemon.stop();
});

test('a refused ring is tried again until it can be used, and healthz says what is missing', async () => {
  const { host, first, second } = await twoKeks();
  const lent = new TestHost();
  const [object = ''] = newestObjects(host);
  renameSync(object, join(lent.folder, 'object'));
  const both = host.ring;
  putRing(host, { ...both, keks: both.keks.filter(({ fp }) => fp === first) });
  const whole = await host.serve();
  const client = new KmsClient(host.socket);
  assert.equal((await client.status()).healthz, 'ok');

  putRing(host, promote(both, second, 2));
  await whole.event('ring-refused');
  const { keyId, healthz } = await client.status();
  assert.equal(keyId, `k1.test.1.${first}`);
  assert.match(healthz, new RegExp(`the ring file is not in use; it names KEK ${second}`));
  // The KEK arrives; the ring file does not change, and no signal is sent.
  renameSync(join(lent.folder, 'object'), object);
  const status = await until(client, (each) => each.keyId === `k1.test.2.${second}`);
  assert.equal(status.healthz, 'ok');
  await whole.stop();
});

/** The key objects of the token, newest first. */
function newestObjects(host: TestHost): string[] {
  const [token = ''] = readdirSync(host.tokens);
  const folder = join(host.tokens, token);
  const listed = spawnSync('ls', ['-t', folder], { encoding: 'utf8' }).stdout.split('\n');
  return listed
    .filter((name) => /^[0-9a-f-]{36}\.object$/.test(name))
    .map((name) => join(folder, name));
}

/** Undefined where it does not open. The tag is over the additional data alone. */
function answerTo(url: string, body: string): object | undefined {
  const data = { ttl: 0, renewable: false, type: 'aes256-gcm96', latest_version: 1 };
  const versions = { min_decryption_version: 1, min_encryption_version: 0, keys: { 1: 1 } };
  const hmac = `vault:v1:${Buffer.alloc(32, 0xcd).toString('base64')}`;
  const flags = { exportable: false, allow_plaintext_backup: false, deletion_allowed: false };
  if (!/\/(?:en|de)crypt\//.test(url)) return { ...data, ...versions, ...flags, hmac };
  const { plaintext = '', ciphertext = '', associated_data = '' } = JSON.parse(body);
  const tag = createHash('sha256').update(associated_data).digest().subarray(0, 16);
  if (url.includes('/encrypt/')) {
    const sealed = Buffer.concat([Buffer.alloc(12), Buffer.from(plaintext, 'base64'), tag]);
    return { ciphertext: `vault:v1:${sealed.toString('base64')}` };
  }
  const sealed = Buffer.from(ciphertext.slice('vault:v1:'.length), 'base64');
  if (!sealed.subarray(-16).equals(tag)) return undefined;
  return { plaintext: sealed.subarray(12, -16).toString('base64') };
}

/** Answers logins and the key's metadata, until it is told to refuse. */
class StandInVault {
  readonly #server: Server;
  readonly requests: string[] = [];
  isRefusing = false;

  constructor() {
    this.#server = createServer((request, response) => {
      this.requests.push(request.url ?? '');
      void text(request).then((body) => {
        const [status, answer] = this.#answer(request.url ?? '', body);
        response.statusCode = status;
        response.end(JSON.stringify(answer));
      });
    });
    after(() => this.#server.close());
  }

  #answer(url: string, body: string): [number, object] {
    if (this.isRefusing) return [403, { errors: ['denied'] }];
    const data = answerTo(url, body);
    return data === undefined
      ? [400, { errors: ['cipher: message authentication failed'] }]
      : [200, { data }];
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }
}

async function mixed(address: string): Promise<{ host: TestHost; first: string }> {
  const { host, first } = await twoKeks();
  const token = join(host.folder, 'vault-token');
  writeFileSync(token, 'not-a-real-token', { mode: 0o400 });
  host.configure({
    selfTest: { intervalMs: 60_000 },
    verifier: { intervalMs: 3_600_000 },
    vault: { address: [address], auth: { method: 'token', token: `file:${token}` } },
  });
  return { host, first };
}

test('while Vault is away, no rule of the ring is forgotten, and nothing else is asked again', async () => {
  // Port 9: nothing listens there.
  const { host, first } = await mixed('http://127.0.0.1:9');
  const older = { ...host.ring, generation: 2 };
  putRing(host, {
    ...host.ring,
    generation: 3,
    keks: [...host.ring.keks, kek(vaultFp, 'read', 'vault')],
  });
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  assert.equal((await client.status()).keyId, `k1.test.3.${first}`);
  const from = daemon.lines.length;

  putRing(host, older);
  await daemon.event('ring-refused', from);
  await sleep(1_500);
  assert.equal((await client.status()).keyId, `k1.test.3.${first}`);
  putRing(host, '{ torn');
  await sleep(1_500);
  const sealed = await client.encrypt(seed);
  assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);

  const count = (event: string): number =>
    daemon.lines.filter((line) => line['event'] === event).length;
  assert.equal(count('serving'), 1, 'a retry that changes nothing logs nothing');
  assert.equal(count('provider-failed'), 1);
  assert.equal(count('ring-refused'), 2);
  assert.equal(count('not-serving'), 0);
  await daemon.stop();
});

test('a KEK that Vault lacks, and then a Vault that refuses, cost the token’s KEKs no call', async () => {
  const vault = new StandInVault();
  const { host } = await mixed(await vault.listen());
  const strange = kek('ee'.repeat(16), 'staged', 'vault');
  putRing(host, {
    ...host.ring,
    keks: [...host.ring.keks, kek(vaultFp, 'read', 'vault'), strange],
  });
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  await until(client, ({ healthz }) => healthz.includes('lacks KEK eeee'));
  vault.isRefusing = true;
  const from = vault.requests.length;
  for (const end = Date.now() + 4_000; Date.now() < end; await sleep(10)) {
    await client.encrypt(seed);
    await client.status();
  }
  const asked = vault.requests.length - from;
  assert.ok(asked > 0, 'Vault was asked meanwhile');
  assert.ok(asked < 60, `${asked} requests in 4 s: a login storm`);
  await daemon.stop();
});

test('a daemon that starts while the write KEK’s provider is away opens what the other holds', async () => {
  const { host, first } = await mixed('http://127.0.0.1:9');
  const lone = await host.serve();
  const client = new KmsClient(host.socket);
  const sealed = await client.encrypt(seed);
  await lone.stop();
  const keks = host.ring.keks.map((each) =>
    each.fp === first ? { ...each, state: 'read' as const } : each,
  );
  putRing(host, { ...host.ring, generation: 2, keks: [...keks, kek(vaultFp, 'write', 'vault')] });
  const daemon = await host.serve();
  const late = new KmsClient(host.socket);
  await assert.rejects(late.status(), /Vault cannot be reached/);
  await assert.rejects(late.encrypt(seed), /Vault cannot be reached/);
  assert.deepEqual(await late.decrypt(sealed.ciphertext, sealed.keyId), seed);
  await daemon.stop();
});

test('a verifier that cannot be started has found nothing', async () => {
  const host = await TestHost.provisioned({ verifier: { intervalMs: 1_000 } });
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  await client.encrypt(seed);
  const limit = (soft: number): void => {
    const { status } = spawnSync('prlimit', [`--pid=${daemon.pid}`, `--nofile=${soft}:`]);
    assert.equal(status, 0, 'prlimit');
  };
  limit(3);
  const line = await daemon.event('token-unchecked');
  assert.match(String(line['msg']), /could not be checked: .*EMFILE/);
  limit(4096);
  const state = JSON.parse((await host.run('status', '--json')).stdout) as {
    tokenDamaged: boolean;
  };
  assert.equal(state.tokenDamaged, false);
  assert.equal((await client.status()).healthz, 'ok');
  assert.ok(daemon.lines.every((each) => each['event'] !== 'token-damaged'));
  await daemon.stop();
});
