// Three hosts of one cluster, and a client that calls all three the whole time:
// a new KEK arrives, is promoted host by host, rolled back and retired, and no
// call fails.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceError } from '@grpc/grpc-js';
import { parseKeyId } from '../../src/keyring/keyid.ts';
import { createFor, good, importInto, requestOf, tokenOnlyHost } from '../support/ceremony.ts';
import { KmsClient } from '../support/client.ts';
import type { TestHost } from '../support/host.ts';

interface Sealed {
  readonly seed: Buffer;
  readonly ciphertext: Buffer;
  readonly keyId: string;
}

const a = await tokenOnlyHost();
const others = [await tokenOnlyHost(), await tokenOnlyHost()];
const hosts = [a, ...others];
const first = await stageEverywhere();
for (const host of hosts) await good(host, 'key', 'promote', first, '--generation', '1');
for (const host of hosts) await host.superviseServe();

/** Made on one host for the others, and imported there: no host writes with it yet. */
async function stageEverywhere(): Promise<string> {
  const requests = [];
  for (const host of others) requests.push(await requestOf(host));
  const made = await createFor(a, requests);
  for (const host of others) await importInto(host, made);
  return made.fp;
}

/** One answer for all hosts, or a failure. */
async function same(...args: string[]): Promise<string> {
  const answers = await Promise.all(hosts.map((host) => good(host, ...args)));
  assert.equal(new Set(answers).size, 1, `${args.join(' ')}: ${answers.join(' ')}`);
  return answers[0] ?? '';
}

/** What a kube-apiserver might ask of its plugin, and of data that others have written. */
class Load {
  readonly sealed: Sealed[] = [];
  readonly failures: string[] = [];
  calls = 0;
  #running = true;
  readonly #loops: Promise<void>[];

  constructor() {
    this.#loops = hosts.flatMap((host) => [this.#write(host), this.#read(host), this.#read(host)]);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
  }

  /** Status, Encrypt, Status: the id of Encrypt is one of the two, and ids only rise. */
  async #write(host: TestHost): Promise<void> {
    const client = new KmsClient(host.socket);
    let generation = 0;
    while (this.#running) {
      await this.#count('write', async () => {
        const before = await client.status();
        const seed = randomBytes(32);
        const { ciphertext, keyId } = await client.encrypt(seed);
        const after = await client.status();
        assert.ok([before.keyId, after.keyId].includes(keyId), 'Status and Encrypt disagree');
        assert.equal(after.healthz, 'ok');
        const next = parseKeyId(after.keyId).generation;
        assert.ok(next >= generation, 'the generation fell');
        generation = next;
        this.sealed.push({ seed, ciphertext, keyId });
      });
      await sleep(5);
    }
  }

  /** Old and new ciphertexts of any host open on this one. */
  async #read(host: TestHost): Promise<void> {
    const client = new KmsClient(host.socket);
    for (let i = 0; this.#running; i += 1) {
      const length = this.sealed.length;
      const one = this.sealed[i % 2 === 0 ? length - 1 : Math.floor(Math.random() * length)];
      if (one === undefined) await sleep(5);
      else {
        await this.#count('read', async () => {
          assert.deepEqual(await client.decrypt(one.ciphertext, one.keyId), one.seed);
        });
      }
    }
  }

  async #count(what: string, call: () => Promise<void>): Promise<void> {
    await call().catch((error: ServiceError) => {
      this.failures.push(`${what}: ${error.code} ${error.details ?? error.message}`);
    });
    this.calls += 1;
  }
}

test('a rotation and its rollback over three hosts fail no call, and old data opens everywhere', async (t) => {
  const load = new Load();
  await sleep(500);
  const old = load.sealed.at(-1) ?? assert.fail('nothing sealed yet');

  const fp = await stageEverywhere();
  await sleep(1_500);
  await same('ring', 'digest', '--openable', '--live');

  for (const host of hosts) await good(host, 'key', 'promote', fp, '--generation', '2');
  assert.equal(await same('ring', 'digest', '--live'), await same('ring', 'digest'));
  await sleep(300);
  assert.equal(load.sealed.at(-1)?.keyId, `k1.test.2.${fp}`);

  // A rollback is a promotion, under a new generation.
  for (const host of hosts) await good(host, 'key', 'promote', first, '--generation', '3');
  for (const host of hosts) await good(host, 'key', 'promote', fp, '--generation', '4');
  await same('ring', 'digest', '--live');
  await sleep(300);
  await load.stop();
  const seen = new Set(load.sealed.map(({ keyId }) => keyId));
  t.diagnostic(`${load.calls} calls, ${load.failures.length} failed, ${seen.size} key ids`);
  assert.deepEqual(load.failures, []);
  assert.ok(load.calls > 100);
  assert.deepEqual([...seen].map((id) => parseKeyId(id).generation).sort(), [1, 2, 3, 4]);

  for (const host of hosts) {
    const client = new KmsClient(host.socket);
    assert.deepEqual(await client.decrypt(old.ciphertext, old.keyId), old.seed);
  }
  // Retired everywhere: refused everywhere, and nothing else is.
  for (const host of hosts) await good(host, 'key', 'retire', first);
  await same('ring', 'digest', '--live');
  const fresh = load.sealed.at(-1) ?? assert.fail();
  for (const host of hosts) {
    const client = new KmsClient(host.socket);
    await assert.rejects(client.decrypt(old.ciphertext, old.keyId), { details: /is retired/ });
    assert.deepEqual(await client.decrypt(fresh.ciphertext, fresh.keyId), fresh.seed);
  }
});
