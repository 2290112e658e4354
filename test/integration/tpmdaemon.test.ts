// A KEK in a TPM, from the command that makes it to the end of its board, with a daemon that
// serves it beside one in SoftHSM.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { type Encrypted, KmsClient } from '../support/client.ts';
import { Etcd } from '../support/etcd.ts';
import { newSeed, sealObject } from '../support/kubestore.ts';
import { missingTpm, SimulatedTpm } from '../support/simulatedtpm.ts';
import { missingTool } from '../support/skip.ts';
import { consent, TpmHost } from '../support/tpmmember.ts';

suite('a TPM beside SoftHSM', { skip: missingTpm() }, async () => {
  const tpm = await SimulatedTpm.start();
  const host = await TpmHost.make();
  const client = new KmsClient(host.socket);
  const secret = randomBytes(32);
  const sealed: Encrypted[] = [];

  async function serve() {
    rmSync(host.socket, { force: true });
    return host.superviseServe();
  }

  async function requireAllOpen(): Promise<void> {
    for (const { ciphertext, keyId } of sealed) {
      assert.deepEqual(await client.decrypt(ciphertext, keyId), secret);
    }
  }

  test('nothing is made without consent, and each part of it is named', async () => {
    for (const [given, lacking] of [consent, consent.toReversed()]) {
      const { exitCode, stderr } = await host.run('tpm', 'create', given ?? '');
      assert.equal(exitCode, 2);
      assert.match(stderr, new RegExp(`say so by ${lacking}`));
    }
    assert.ok(!existsSync(host.store));
  });

  test('a running daemon takes in the new KEK, and seals by it once it is promoted', async () => {
    const daemon = await serve();
    await daemon.event('serving');
    sealed.push(await client.encrypt(secret));
    const { stdout, stderr } = await host.run('tpm', 'create', ...consent);
    assert.match(stdout, /^KEK [0-9a-f]{32} is in the TPM of this machine, staged$/m);
    assert.match(stderr, /this KEK has no recovery: with this board/);
    const [, kek = assert.fail('not in the ring')] = host.ring.keks;
    assert.equal(kek.provider, 'tpm');
    await host.good('key', 'promote', kek.fp);
    const encrypted = await client.encrypt(secret);
    assert.equal(encrypted.ciphertext.readUInt8(3), 3);
    assert.ok(encrypted.ciphertext.length <= 1024);
    sealed.push(encrypted);
    await requireAllOpen();
    const listed = JSON.parse(await host.good('key', 'list', '--json')) as object[];
    assert.deepEqual(
      listed.map((each) => ({ ...each, fp: undefined })),
      ['read', 'write'].map((state, i) => ({
        ...{ fp: undefined, state, provider: i === 0 ? 'pkcs11' : 'tpm', held: true },
        ...{ sensitive: true, extractable: false },
      })),
    );
    assert.match(await host.good('ring', 'digest'), /^sha256:/);
    assert.match(await host.good('doctor', '--only', 'tpm'), /the TPM of this machine holds 1 KEK/);
    await daemon.stop();
  });

  test('after a kill the next one serves the same, and no PIN or key is in the log', async () => {
    const daemon = await serve();
    await requireAllOpen();
    const from = daemon.lines.length;
    process.kill(daemon.pid, 'SIGKILL');
    await daemon.event('serving', from);
    await requireAllOpen();
    sealed.push(await client.encrypt(secret));
    await requireAllOpen();
    const log = JSON.stringify(daemon.lines);
    for (const pin of [host.pin, readFileSync(host.tpmPinPath, 'utf8')]) {
      assert.ok(!log.includes(pin));
    }
    await daemon.stop();
  });

  test('without its store the TPM opens nothing, what is under SoftHSM opens, and it comes back', async () => {
    const away = `${host.store}.away`;
    renameSync(host.store, away);
    const daemon = await serve();
    await assert.rejects(client.encrypt(secret), /FAILED_PRECONDITION|UNAVAILABLE/);
    const failed = await daemon.event('provider-failed');
    assert.match(String(failed['msg']), /provider tpm fails.*the store of the TPM does not exist/);
    const [aes = assert.fail('none')] = sealed;
    assert.deepEqual(await client.decrypt(aes.ciphertext, aes.keyId), secret);
    renameSync(away, host.store);
    await daemon.event('provider-back');
    await requireAllOpen();
    await daemon.stop();
  });

  test('a command that was killed before the ring had the KEK goes on with that one', async () => {
    const before = readFileSync(host.ringPath);
    await host.good('tpm', 'create', ...consent);
    const [made] = host.ring.keks.filter(({ state }) => state === 'staged');
    writeFileSync(host.ringPath, before);
    assert.match(await host.good('key', 'list'), /not in the ring/);
    await host.good('tpm', 'create', ...consent);
    assert.deepEqual(
      host.ring.keks.filter(({ state }) => state === 'staged').map(({ fp }) => fp),
      [made?.fp],
    );
    const twice = await host.run('tpm', 'create', ...consent);
    assert.match(twice.stderr, /in the TPM and staged already.*\n.*kleidi key promote/);
    assert.ok(!existsSync(`${host.store}.new`));
  });

  test('a snapshot is proved with both tokens', {
    skip: missingTool('etcd', 'etcdctl'),
  }, async () => {
    const daemon = await serve();
    const { keks } = host.ring;
    const of = (provider: string): string =>
      keks.find((kek) => kek.provider === provider && kek.state !== 'staged')?.fp ?? '';
    const etcd = await Etcd.start(join(host.folder, 'etcd'));
    for (const provider of ['pkcs11', 'tpm']) {
      await host.good('key', 'promote', of(provider)).catch(() => undefined);
      const sealedSeed = await newSeed(client);
      await etcd.put(
        sealObject(`/registry/secrets/ns/${provider}`, Buffer.from('content'), sealedSeed),
      );
    }
    const file = etcd.snapshot(join(host.folder, 'both.db'));
    const { verification } = JSON.parse(
      await host.good('snapshot', 'scan', file, '--verify', '--json'),
    ) as { verification: object };
    assert.deepEqual(verification, { seeds: 2, objects: 2, failures: [], elsewhere: 0 });
    await etcd.stop();
    await daemon.stop();
  });

  test('destroyed, its keys are no longer in the store; the other KEK of the token stays', async () => {
    const [staged = assert.fail('none is staged')] = host.ring.keks.filter(
      (kek) => kek.state === 'staged',
    );
    await host.good('key', 'retire', staged.fp);
    await host.good('key', 'destroy', staged.fp, '--no-scan', '--yes');
    const listed = JSON.parse(await host.good('key', 'list', '--json')) as {
      fp: string;
      held: boolean;
    }[];
    assert.deepEqual(
      listed.map(({ fp, held }) => [fp === staged.fp, held]),
      host.ring.keks.map(({ fp }) => [fp === staged.fp, fp !== staged.fp]),
    );
  });

  test('the board is gone: said so, and nothing that the other token holds is touched', async () => {
    await tpm.replace();
    const daemon = await serve();
    const failed = await daemon.event('provider-failed');
    assert.match(String(failed['msg']), /provider tpm fails/);
    assert.match(
      await host.run('doctor', '--only', 'tpm').then(({ stdout }) => stdout),
      /FAIL {2}login to token.*\n.*on a new board/,
    );
    const [aes = assert.fail('none')] = sealed;
    assert.deepEqual(await client.decrypt(aes.ciphertext, aes.keyId), secret);
    await daemon.stop();
  });
});
