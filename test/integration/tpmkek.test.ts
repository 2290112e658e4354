// The provider over tpm2-pkcs11, with a simulated TPM: what it is asked of, as of SoftHSM, and
// the traps of the module.
import assert from 'node:assert/strict';
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { KleidiError } from '../../src/errors.ts';
import { additionalData } from '../../src/keyring/envelope.ts';
import { ckrOf } from '../../src/providers/pkcs11/ckr.ts';
import { LocalToken } from '../../src/providers/pkcs11/local.ts';
import { Pkcs11Module } from '../../src/providers/pkcs11/module.ts';
import { Pkcs11Provider } from '../../src/providers/pkcs11/pkcs11.ts';
import { RefusedPin } from '../../src/providers/pkcs11/refusedpin.ts';
import { expose } from '../../src/providers/pkcs11/settings.ts';
import { ModuleThreads } from '../../src/providers/pkcs11/thread.ts';
import { Token } from '../../src/providers/pkcs11/token.ts';
import { tpmScheme } from '../../src/providers/pkcs11/tpmkek.ts';
import { firstTpmModule } from '../../src/tpmmodule.ts';
import { missingTpm, SimulatedTpm, tcti } from '../support/simulatedtpm.ts';
import { TpmHost } from '../support/tpmmember.ts';

const code = (expected: string) => (error: unknown) =>
  error instanceof KleidiError && error.code === expected;

suite('KEKs in a TPM', { skip: missingTpm() }, async () => {
  await SimulatedTpm.start();
  const host = await TpmHost.make();
  const first = await host.makeKek();
  await host.good('key', 'promote', first.fp);
  const second = await host.makeKek();
  const settings = {
    ...{ module: firstTpmModule(), token: 'kleidi', softhsmConf: '', runtimeDir: host.folder },
    ...{ callTimeoutMs: 5_000, openTimeoutMs: 20_000, tpm: { store: host.store, tcti } },
  };
  const pin = readFileSync(host.tpmPinPath, 'utf8');
  const broken: KleidiError[] = [];
  const hooks = {
    onStage: (): void => undefined,
    onBroken: (error: KleidiError): void => void broken.push(error),
  };
  const provider = await Pkcs11Provider.open(settings, pin, hooks, new ModuleThreads());
  const { fp } = first;
  const aad = additionalData(3, fp, `k1.test.1.${fp}`);
  const secret = randomBytes(32);

  test('each KEK is known by fingerprint and check, after a start as in the command that made it', async () => {
    const usable = await provider.load([first.fp, second.fp, 'ab'.repeat(16)]);
    assert.deepEqual(usable, new Map([first, second].map((kek) => [kek.fp, kek.check])));
    assert.deepEqual(await provider.selfTest(fp), usable);
    assert.equal(provider.kind, 'tpm');
    assert.equal(provider.mode, 'threads', 'it takes milliseconds');
  });

  test('what is sealed opens; each length that is allowed', async () => {
    for (const bytes of [1, 32, 190]) {
      const plaintext = randomBytes(bytes);
      const body = await provider.wrap(fp, plaintext, aad);
      assert.equal(body.length, 256 + 32);
      assert.deepEqual(await provider.unwrap(fp, body, aad), plaintext);
    }
    for (const bytes of [0, 191]) {
      await assert.rejects(provider.wrap(fp, randomBytes(bytes), aad), code('plaintext-invalid'));
    }
    assert.deepEqual(
      broken.splice(0).map((error) => error.code),
      [],
    );
  });

  test('a changed ciphertext, another key id, KEK or length is the request’s fault', async () => {
    const body = await provider.wrap(fp, secret, aad);
    for (const at of [0, 255, 256, 287]) {
      const changed = Buffer.from(body);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      await assert.rejects(provider.unwrap(fp, changed, aad), code('ciphertext-invalid'));
    }
    const otherId = additionalData(3, fp, `k1.test.2.${fp}`);
    await assert.rejects(provider.unwrap(fp, body, otherId), code('ciphertext-invalid'));
    await assert.rejects(provider.unwrap(second.fp, body, aad), code('ciphertext-invalid'));
    for (const wrong of [body.subarray(1), Buffer.concat([body, Buffer.alloc(1)])]) {
      await assert.rejects(provider.unwrap(fp, wrong, aad), code('ciphertext-invalid'));
    }
    assert.deepEqual(await provider.unwrap(fp, body, aad), secret);
    assert.deepEqual(broken, []);
  });

  test('a seed that the public key alone has sealed is refused, before the TPM decrypts', async () => {
    const { spki } = (await found())[0]?.partner ?? assert.fail('no KEK');
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const sealed = publicEncrypt(
      { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
      secret,
    );
    const forged = Buffer.concat([sealed, randomBytes(32)]);
    await assert.rejects(provider.unwrap(fp, forged, aad), code('ciphertext-invalid'));
    // Such a block, where a TPM of swtpm 0.7 is asked to decrypt it, ends that TPM.
    const random = Buffer.concat([randomBytes(256), randomBytes(32)]);
    await assert.rejects(provider.unwrap(fp, random, aad), code('ciphertext-invalid'));
    assert.deepEqual(await provider.unwrap(fp, await provider.wrap(fp, secret, aad), aad), secret);
  });

  test('what the TPM itself refuses spends the session, and the next call gets another', async () => {
    const { token, keks } = await opened();
    const kek = keks.find((each) => each.fp === fp) ?? assert.fail('no KEK');
    const local = new LocalToken(token, tpmScheme);
    const body = await local.seal(kek, secret, aad);
    const noKey = { ...kek, handle: Buffer.alloc(8, 9) };
    const half = {
      ...kek,
      partner: { ...(kek.partner ?? assert.fail()), hmac: Buffer.alloc(8, 9) },
    };
    for (const wrong of [noKey, half]) {
      await assert.rejects(local.unseal(wrong, body, aad), (error) => ckrOf(error) !== undefined);
      assert.deepEqual(await local.unseal(kek, body, aad), secret);
    }
    local.leave();
    token.module.leave();
  });

  test('40 at once, more than there are threads', async () => {
    const body = await provider.wrap(fp, secret, aad);
    const opened = await Promise.all(
      Array.from({ length: 40 }, () => provider.unwrap(fp, body, aad)),
    );
    assert.ok(opened.every((each) => each.equals(secret)));
  });

  test('no key can be read out, by attributes or by wrapping', async () => {
    const { token, keks } = await opened();
    for (const { handle, partner } of keks) {
      for (const key of [handle, partner?.hmac ?? assert.fail('half a KEK')]) {
        assert.equal(flag(token, key, 0x103), 1, 'CKA_SENSITIVE');
        assert.equal(flag(token, key, 0x162), 0, 'CKA_EXTRACTABLE');
      }
    }
    token.module.leave();
  });

  test('a wrong PIN is tried once: a TPM counts them', async () => {
    writeFileSync(host.tpmPinPath, 'wrong', { mode: 0o400 });
    for (const said of [/refuses the PIN.*\n.*from one backup/, /is not tried again/]) {
      const { exitCode, stderr } = await host.run('key', 'list');
      assert.equal(exitCode, 1);
      assert.match(stderr, said);
    }
    await provider.close();
  });

  async function opened() {
    expose(settings);
    const module = Pkcs11Module.open(settings.module, '');
    const access = {
      label: 'kleidi',
      pin,
      refusedPin: new RefusedPin(host.folder),
      writable: false,
    };
    const token = await Token.open(module, access, tpmScheme.mechanisms);
    return { token, keks: tpmScheme.find(token).keks };
  }

  async function found() {
    const { token, keks } = await opened();
    token.module.leave();
    return keks;
  }

  function flag(token: Token, key: Buffer, type: number): number | undefined {
    return token.module.api.C_GetAttributeValue(token.anchor, key, [{ type }])[0]?.value[0];
  }
});
