// The PKCS#11 provider on a real SoftHSM token, in this process: the traps of
// the module and of the binding.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { renameSync } from 'node:fs';
import { test } from 'node:test';
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../src/errors.ts';
import { ckr, ckrOf } from '../../src/providers/pkcs11/ckr.ts';
import * as gcm from '../../src/providers/pkcs11/gcm.ts';
import { kernelNonces } from '../../src/providers/pkcs11/nonces.ts';
import { Pkcs11Provider } from '../../src/providers/pkcs11/pkcs11.ts';
import { recoveryFor } from '../../src/providers/pkcs11/recoverypolicy.ts';
import { ModuleThreads } from '../../src/providers/pkcs11/thread.ts';
import { firstModule } from '../../src/softhsm.ts';
import { TestHost } from '../support/host.ts';

const host = await TestHost.provisioned();
const [write] = host.ring.keks;
const fp = write?.fp ?? '';
const broken: KleidiError[] = [];
const settings = {
  module: firstModule(),
  token: 'kleidi',
  softhsmConf: host.softhsmConf,
  runtimeDir: host.folder,
  callTimeoutMs: 1000,
  openTimeoutMs: 10_000,
};
const hooks = {
  onStage: (): void => undefined,
  onBroken: (error: KleidiError): void => void broken.push(error),
};
const provider = await Pkcs11Provider.open(settings, host.pin, hooks, new ModuleThreads());
await provider.load([fp]);
const aad = Buffer.from('aad');
const secret = randomBytes(32);

/** The module is one per process: this sees the same token and login. */
const api = new pkcs11js.PKCS11();
api.load(settings.module);
const [slot = Buffer.alloc(0)] = api.C_GetSlotList(true);
const session = api.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);

function tokenKek(): Buffer {
  api.C_FindObjectsInit(session, [
    { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
    { type: pkcs11js.CKA_TOKEN, value: true },
  ]);
  const found = api.C_FindObjects(session, 10);
  api.C_FindObjectsFinal(session);
  assert.equal(found.length, 1, 'exactly one KEK, and no newborn beside it');
  return found[0] ?? Buffer.alloc(0);
}

const code = (expected: string) => (error: unknown) =>
  error instanceof KleidiError && error.code === expected;

test('SoftHSM is fast enough for calls in this thread', () => {
  assert.equal(provider.mode, 'in-thread');
});

test('what is wrapped is nonce, ciphertext and a whole tag, and no nonce comes twice', async () => {
  const nonces = new Set<string>();
  for (let i = 0; i < 1000; i += 1) {
    const body = await provider.wrap(fp, secret, aad);
    assert.equal(body.length, 12 + 32 + 16);
    nonces.add(body.subarray(0, 12).toString('hex'));
  }
  assert.equal(nonces.size, 1000);
  assert.ok(!nonces.has('0'.repeat(24)));
});

test('a bad tag is the request’s fault, and the provider stays whole', async () => {
  const body = await provider.wrap(fp, secret, aad);
  body.writeUInt8(body.readUInt8(59) ^ 1, 59);
  for (let i = 0; i < 50; i += 1) {
    await assert.rejects(provider.unwrap(fp, body, aad), code('ciphertext-invalid'));
  }
  await assert.rejects(
    provider.unwrap(fp, await provider.wrap(fp, secret, aad), Buffer.from('x')),
    code('ciphertext-invalid'),
  );
  assert.deepEqual(await provider.unwrap(fp, await provider.wrap(fp, secret, aad), aad), secret);
  assert.deepEqual(broken, []);
});

test('an empty or short input never reaches the token', async () => {
  const call: gcm.GcmCall = { api, session, key: tokenKek() };
  const nonces = kernelNonces();
  assert.throws(() => gcm.encrypt(call, nonces, Buffer.alloc(0), aad), code('internal'));
  assert.throws(() => gcm.encrypt(call, nonces, secret, Buffer.alloc(0)), code('internal'));
  for (const bytes of [0, 12, 28]) {
    assert.throws(() => gcm.decrypt(call, Buffer.alloc(bytes), aad), KleidiError);
  }
  // The session is not stuck in "operation active".
  assert.equal(gcm.encrypt(call, nonces, secret, aad).length, 60);
});

test('the KEK object is sensitive, stays in the token and does GCM and CMAC only', () => {
  const key = tokenKek();
  const flag = (type: number): number | undefined =>
    api.C_GetAttributeValue(session, key, [{ type }])[0]?.value[0];
  const yes = ['SENSITIVE', 'PRIVATE', 'TOKEN', 'ENCRYPT', 'DECRYPT', 'SIGN'] as const;
  const no = ['EXTRACTABLE', 'VERIFY', 'WRAP', 'UNWRAP', 'DERIVE'] as const;
  for (const name of yes) assert.equal(flag(pkcs11js[`CKA_${name}`]), 1, name);
  for (const name of no) assert.equal(flag(pkcs11js[`CKA_${name}`]), 0, name);
  const refused = (name: string, work: () => unknown): void =>
    assert.throws(work, (error) => ckrOf(error) !== undefined, name);
  refused('read the value', () =>
    api.C_GetAttributeValue(session, key, [{ type: pkcs11js.CKA_VALUE }]),
  );
  refused('ECB', () => api.C_EncryptInit(session, { mechanism: pkcs11js.CKM_AES_ECB }, key));
  refused('make it extractable', () =>
    api.C_SetAttributeValue(session, key, [{ type: pkcs11js.CKA_EXTRACTABLE, value: true }]),
  );
});

test('return values are told by number in every shape that the binding gives them', () => {
  const shapes = [
    () => api.C_CopyObject(session, Buffer.alloc(8, 9), []),
    () => api.C_EncryptInit(session, { mechanism: pkcs11js.CKM_AES_CMAC }, Buffer.alloc(8, 9)),
    () => api.C_CloseSession(Buffer.alloc(8, 9)),
  ];
  for (const fail of shapes) {
    let thrown: unknown;
    try {
      fail();
    } catch (error) {
      thrown = error;
    }
    assert.equal(typeof ckrOf(thrown), 'number');
  }
  assert.equal(ckrOf(new Error('CKR_OBJECT_HANDLE_INVALID:130')), 130);
  assert.equal(ckrOf(new TypeError('bad argument')), undefined);
});

test('the ladder knows each step by operation and number', () => {
  const steps: readonly (readonly ['wrap' | 'unwrap', number, string])[] = [
    ['wrap', ckr.SESSION_HANDLE_INVALID, 'new-session'],
    ['unwrap', ckr.OPERATION_ACTIVE, 'new-session'],
    ['wrap', ckr.OBJECT_HANDLE_INVALID, 'find-again'],
    ['wrap', ckr.USER_NOT_LOGGED_IN, 'login'],
    ['wrap', ckr.GENERAL_ERROR, 'broken'],
    ['unwrap', ckr.GENERAL_ERROR, 'ask-self-test'],
    ['unwrap', ckr.ENCRYPTED_DATA_INVALID, 'ask-self-test'],
    ['unwrap', ckr.DEVICE_REMOVED, 'broken'],
    ['wrap', ckr.MECHANISM_INVALID, 'unfit'],
  ];
  for (const [operation, number, kind] of steps) {
    assert.equal(recoveryFor(operation, number).kind, kind, `${operation} ${number}`);
  }
});

test('after a logout all handles are dead, and the provider finds its way back by itself', async () => {
  const body = await provider.wrap(fp, secret, aad);
  api.C_Logout(session);
  assert.deepEqual(await provider.unwrap(fp, body, aad), secret);
  await provider.selfTest();
  assert.deepEqual(broken, []);
});

test('the copy in memory works on when the token folder is gone', async () => {
  renameSync(host.tokens, `${host.tokens}.away`);
  const body = await provider.wrap(fp, secret, aad);
  assert.deepEqual(await provider.unwrap(fp, body, aad), secret);
  await provider.selfTest();
  renameSync(`${host.tokens}.away`, host.tokens);
});
