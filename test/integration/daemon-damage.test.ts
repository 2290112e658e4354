// Bits that flip in the token's files, at start and while running. SoftHSM
// keeps keys without a MAC, so a flip can silently make another key of it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceError } from '@grpc/grpc-js';
import { KmsClient } from '../support/client.ts';
import type { Daemon } from '../support/daemon.ts';
import { TestHost } from '../support/host.ts';

const host = await TestHost.provisioned({ verifier: { intervalMs: 1000 } });
const object = keyObject();
const whole = readFileSync(object);
const seed = randomBytes(32);

function keyObject(): string {
  const [folder = ''] = readdirSync(host.tokens);
  const [name = ''] = readdirSync(join(host.tokens, folder)).filter(
    (file) => file.endsWith('.object') && file !== 'token.object',
  );
  return join(host.tokens, folder, name);
}

function flip(at: number): void {
  const damaged = Buffer.from(whole);
  damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << (at % 8)), at);
  writeFileSync(object, damaged);
}

async function firstAnswer(): Promise<string> {
  const client = new KmsClient(host.socket);
  const keyId = await client.status().then(
    (status) => status.keyId,
    (error: ServiceError) => error.details,
  );
  const sealed = await client.encrypt(seed).then(
    (answer) => answer.keyId,
    (error: ServiceError) => error.details,
  );
  client.close();
  // Status and Encrypt must say the same: the one key id, or the same error.
  assert.equal(sealed, keyId);
  return keyId;
}

/** Else crashes by the damage of an earlier start would keep the module from being opened. */
function forgetCrashes(): void {
  rmSync(join(host.folder, 'run/start.json'), { force: true });
}

async function startWith(at: number): Promise<{ answer: string; daemon: Daemon }> {
  flip(at);
  const daemon = await host.superviseServe({ restartMs: 20 });
  return { answer: await firstAnswer(), daemon };
}

test('a byte flipped in the key object is noticed at start or is harmless', async (t) => {
  const healthy = await host.serve();
  const client = new KmsClient(host.socket);
  const good = await client.encrypt(seed);
  client.close();
  await healthy.stop();
  const counts = { harmless: 0, refused: 0 };
  // Every 24th byte, so that all attributes are hit; the key value is in there.
  for (let at = 5; at < whole.length; at += 24) {
    const { answer, daemon } = await startWith(at);
    if (answer === good.keyId) {
      counts.harmless += 1;
      const again = new KmsClient(host.socket);
      assert.deepEqual(await again.decrypt(good.ciphertext, good.keyId), seed, `byte ${at}`);
      again.close();
    } else {
      counts.refused += 1;
      assert.match(answer, /lacks the KEK|PKCS#11/, `byte ${at}`);
    }
    await daemon.stop();
    // The supervisor's socket stays behind, as its holder's would not.
    rmSync(host.socket, { force: true });
  }
  writeFileSync(object, whole);
  t.diagnostic(`${counts.harmless} harmless, ${counts.refused} refused`);
  assert.ok(counts.refused > 0);
});

test('damage while running is reported within a verifier interval and memory serves on', async () => {
  writeFileSync(object, whole);
  forgetCrashes();
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  const good = await client.encrypt(seed);
  writeFileSync(object, Buffer.concat([whole.subarray(0, 40), randomBytes(whole.length - 40)]));
  await daemon.event('token-damaged');
  const { stdout } = await host.run('status', '--json');
  assert.match(stdout, /token on disk is damaged, do not restart, restore first/);
  assert.equal((await client.status()).healthz, 'ok');
  assert.deepEqual(await client.decrypt(good.ciphertext, good.keyId), seed);
  assert.equal((await client.encrypt(seed)).keyId, good.keyId);

  writeFileSync(object, whole);
  await daemon.event('token-whole');
  await daemon.stop();
});

test('a token that is restored is taken up again without a restart by hand', async () => {
  writeFileSync(object, Buffer.alloc(whole.length, 1));
  forgetCrashes();
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  await assert.rejects(client.encrypt(seed), { code: 9 });
  await assert.rejects(client.status(), /lacks the KEK/);
  writeFileSync(object, whole);
  for (let i = 0; i < 100 && (await isDown(client)); i += 1) await sleep(200);
  assert.equal((await client.status()).healthz, 'ok');
  await daemon.stop();
});

async function isDown(client: KmsClient): Promise<boolean> {
  return client.status().then(
    () => false,
    () => true,
  );
}
