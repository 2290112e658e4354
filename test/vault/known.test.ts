// A Transit key that was swapped so that its fingerprint stays: a real server restores an
// edited backup. The text that this host has sealed tells it, and nothing is sealed under
// the other key.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KleidiError } from '../../src/errors.ts';
import { emptyRing, formatRing } from '../../src/keyring/ring.ts';
import { readRing, writeRing } from '../../src/keyring/ringfile.ts';
import { promote } from '../../src/keyring/transitions.ts';
import { type KnownTexts, knownTextsPath } from '../../src/providers/vault/knowntexts.ts';
import type { VaultProvider } from '../../src/providers/vault/vault.ts';
import { KmsClient } from '../support/client.ts';
import { Daemon } from '../support/daemon.ts';
import { TestHost } from '../support/host.ts';
import { openTransit } from '../support/transit.ts';
import { backUp, restore, swapped } from '../support/transitswap.ts';
import { honest, type Meddling, VaultProxy } from '../support/vaultproxy.ts';
import { onVault } from '../support/vaultserver.ts';

const aad = Buffer.from('header and key id');
const seed = randomBytes(32);

await onVault(async (server) => {
  await server.ask('POST', 'transit/keys/kleidi/rotate');
  const right = await backUp(server);
  await restore(server, right);
  const proxy = await VaultProxy.start(server.address);
  const open = (texts: KnownTexts): Promise<VaultProvider> =>
    openTransit(
      [proxy.address],
      { method: 'token', token: async () => server.rootToken },
      { knownTexts: async () => texts },
    );
  const fpOf = (vault: VaultProvider, version: number): string =>
    vault.keks().find((kek) => kek.version === version)?.fp ?? '';
  const first = await open(new Map());
  const [fp1, fp2] = [fpOf(first, 1), fpOf(first, 2)];
  const texts: KnownTexts = new Map([
    [fp1, await first.sealKnownText(fp1)],
    [fp2, await first.sealKnownText(fp2)],
  ]);
  await first.close();

  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'none',
      (thrown: unknown) => KleidiError.from(thrown).code,
    );

  test('the swap is one: the fingerprint stays, and old data do not open', async () => {
    const vault = await open(new Map());
    const sealed = await vault.wrap(fp2, seed, aad);
    await restore(server, swapped(right, 2));
    const late = await open(new Map());
    assert.equal(fpOf(late, 2), fp2);
    assert.deepEqual([...(await late.load([fp1, fp2])).keys()], [fp1, fp2]);
    assert.equal(await codeOf(late.unwrap(fp2, sealed, aad)), 'ciphertext-invalid');
    await restore(server, right);
    assert.deepEqual(await late.unwrap(fp2, sealed, aad), seed);
    for (const each of [vault, late]) await each.close();
  });

  test('a load refuses the swapped KEK, and no other; nothing is sealed under it', async () => {
    await restore(server, swapped(right, 2));
    const vault = await open(texts);
    assert.deepEqual([...(await vault.load([fp1, fp2])).keys()], [fp1]);
    assert.equal(vault.refusals.get(fp2)?.code, 'vault-key-swapped');
    assert.match(vault.notices.join(), /version 2 .* does not open what this host has sealed/);
    const before = proxy.count('encrypt');
    assert.equal(await codeOf(vault.wrap(fp2, seed, aad)), 'vault-key-swapped');
    assert.equal(await codeOf(vault.sealKnownText(fp2)), 'vault-key-swapped');
    assert.equal(proxy.count('encrypt'), before);
    await restore(server, right);
    assert.deepEqual([...(await vault.selfTest(fp1)).keys()].sort(), [fp1, fp2].sort());
    await vault.close();
  });

  test('a self-test finds it of the KEK that is written with', async () => {
    const vault = await open(texts);
    await vault.load([fp1, fp2]);
    await restore(server, swapped(right, 2));
    assert.deepEqual([...(await vault.selfTest(fp2)).keys()], [fp1]);
    assert.equal(vault.failure?.code, 'vault-key-swapped');
    await restore(server, right);
    await vault.selfTest(fp2);
    assert.equal(vault.failure?.code, undefined);
    await vault.close();
  });

  test('another text is a wrong answer; silence is none, and proves nothing either way', async () => {
    const answers = (status: number): Meddling => {
      return (operation, body) =>
        operation === 'decrypt' && body['ciphertext'] === texts.get(fp2) ? { status } : {};
    };
    for (const [status, code] of [
      [0, 'vault-unreachable'],
      [503, 'vault-sealed'],
      [403, 'vault-denied'],
      [500, 'vault-failed'],
    ] as const) {
      proxy.meddling = answers(status);
      const late = await open(texts);
      assert.deepEqual([...(await late.load([fp1, fp2])).keys()], [fp1]);
      assert.equal(late.refusals.get(fp2)?.code, code);
      assert.equal(await codeOf(late.wrap(fp2, seed, aad)), code);
      proxy.meddling = honest;
      assert.deepEqual([...(await late.load([fp1, fp2])).keys()], [fp1, fp2]);
      assert.equal(late.refusals.size, 0);
      proxy.meddling = answers(status);
      const kept = status === 500 ? [fp1] : [fp1, fp2];
      assert.deepEqual([...(await late.selfTest(fp2)).keys()], kept);
      proxy.meddling = honest;
      await late.close();
    }
    const other = new Map([[fp2, texts.get(fp1) ?? '']]);
    const vault = await open(other);
    assert.deepEqual([...(await vault.load([fp2])).keys()], []);
    assert.equal(vault.refusals.get(fp2)?.code, 'vault-key-swapped');
    await vault.close();
  });

  const host = new TestHost();
  const known = knownTextsPath(host.ringPath);
  const token = join(host.folder, 'vault-token');
  writeFileSync(token, server.rootToken);
  chmodSync(token, 0o400);
  host.configure({
    selfTest: { intervalMs: 300 },
    vault: { address: [server.address], auth: { method: 'token', token: `file:${token}` } },
  });
  mkdirSync(dirname(host.ringPath), { recursive: true });
  writeFileSync(host.ringPath, formatRing(emptyRing('test')));

  async function good(...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await host.run(...args);
    assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  async function refused(...args: string[]): Promise<string> {
    const { exitCode, stderr } = await host.run(...args);
    assert.equal(exitCode, 1, args.join(' '));
    return stderr;
  }

  test('key import records a text, and one that is there is never replaced', async () => {
    await restore(server, right);
    await good('key', 'import', '--vault-version', '1');
    const before = readFileSync(known, 'utf8');
    assert.deepEqual(Object.keys(JSON.parse(before).keks), [fp1]);
    assert.equal(statSync(known).mode & 0o777, 0o640);
    await good('key', 'import', '--vault-version', '1');
    await good('key', 'promote', fp1);
    assert.equal(readFileSync(known, 'utf8'), before);
    await good('key', 'import', '--vault-version', '2');
    assert.deepEqual(Object.keys(JSON.parse(readFileSync(known, 'utf8')).keks).sort(), [
      ...[fp1, fp2].sort(),
    ]);
  });

  test('a daemon keeps what it serves where the ring names a swapped KEK; commands refuse it', async (t) => {
    const daemon = await Daemon.start(host.configPath, host.socket);
    t.after(() => daemon.stop());
    const client = new KmsClient(host.socket);
    const { keyId } = await client.encrypt(seed);
    assert.ok(keyId.endsWith(fp1));
    await restore(server, swapped(right, 2));
    assert.match(await refused('key', 'promote', fp2), /does not open what this host has sealed/);
    assert.match(await refused('key', 'import', '--vault-version', '2'), /does not open/);
    assert.match(await refused('vault', 'record'), /does not open/);
    assert.match((await host.run('doctor', '--only', 'vault')).stdout, /FAIL .*does not open/);
    const ring = await readRing(host.ringPath);
    await writeRing(host.ringPath, promote(ring, fp2, ring.generation + 1));
    await until(async () => (await host.run('status', '--json')).stdout.includes('does not open'));
    assert.equal((await client.encrypt(seed)).keyId, keyId);
    await restore(server, right);
    await until(async () => (await client.status()).keyId.endsWith(fp2));
    await daemon.stop();
    client.close();
  });

  test('the write KEK is swapped: Status is an error, also after a restart, and heals', async (t) => {
    let daemon = await Daemon.start(host.configPath, host.socket);
    t.after(() => daemon.stop());
    const client = new KmsClient(host.socket);
    const sealed = await client.encrypt(seed);
    assert.ok(sealed.keyId.endsWith(fp2));
    await restore(server, swapped(right, 2));
    const told = /Vault holds another key under this KEK/;
    const fails = (): Promise<boolean> =>
      client.status().then(
        () => false,
        (error: Error) => told.test(error.message),
      );
    await until(fails);
    await assert.rejects(client.encrypt(seed), told);
    await assert.rejects(client.decrypt(sealed.ciphertext, sealed.keyId), told);
    await daemon.stop();
    daemon = await Daemon.start(host.configPath, host.socket);
    assert.ok(await fails());
    await assert.rejects(client.encrypt(seed), told);
    assert.match(JSON.stringify(daemon.lines), /vault-key-swapped/);
    await restore(server, right);
    await until(async () => (await client.status()).keyId === sealed.keyId);
    assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
    await daemon.stop();
    client.close();
  });

  test('without the file the daemon serves, doctor warns, and vault record makes it', async (t) => {
    await rm(known);
    const daemon = await Daemon.start(host.configPath, host.socket);
    t.after(() => daemon.stop());
    const client = new KmsClient(host.socket);
    await client.encrypt(seed);
    const { stdout } = await host.run('doctor', '--only', 'vault');
    assert.match(stdout, /no known text of KEK .*\n.*do: kleidi vault record/);
    assert.equal(existsSync(known), false);
    const recorded = JSON.parse(await good('vault', 'record', '--json')) as object;
    assert.deepEqual(recorded, { known: [], recorded: [fp1, fp2] });
    const again = JSON.parse(await good('vault', 'record', '--json')) as object;
    assert.deepEqual(again, { known: [fp1, fp2], recorded: [] });
    assert.doesNotMatch((await host.run('doctor', '--only', 'vault')).stdout, /no known text/);
    await daemon.stop();
    client.close();
  });

  test('a damaged file is named, not replaced, and no KEK is used by a daemon that starts', async (t) => {
    const whole = readFileSync(known, 'utf8');
    const damaged = whole.slice(0, 40);
    writeFileSync(known, damaged);
    assert.ok((await refused('vault', 'record')).includes(`${known} is damaged`));
    assert.ok((await refused('key', 'import', '--vault-version', '1')).includes(known));
    assert.ok((await host.run('doctor', '--only', 'vault')).stdout.includes(known));
    assert.equal(readFileSync(known, 'utf8'), damaged);
    const daemon = await Daemon.start(host.configPath, host.socket);
    t.after(() => daemon.stop());
    const client = new KmsClient(host.socket);
    await assert.rejects(client.encrypt(seed), /file of known texts is damaged/);
    writeFileSync(known, whole);
    await until(async () => (await client.encrypt(seed)).keyId.endsWith(fp2));
    await daemon.stop();
    client.close();
  });
});

async function until(good: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await good().catch(() => false)) return;
    await sleep(50);
  }
  assert.fail('not within a minute');
}
