// Return values of PKCS#11 and what is done after each: the table as the
// standard and the measured behaviour of modules have it, written out here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pkcs11js from 'pkcs11js';
import { ckr, ckrOf, ckrText } from '../../src/providers/pkcs11/ckr.ts';
import {
  isTokenLost,
  type Operation,
  type Recovery,
  recoveryFor,
} from '../../src/providers/pkcs11/recoverypolicy.ts';
import { memoryToken } from '../support/memorytoken.ts';

const operations: readonly Operation[] = ['wrap', 'unwrap', 'self-test'];

/** By number, for every operation. */
const ladder: Readonly<Record<number, Recovery['kind']>> = {
  176: 'new-session', // SESSION_CLOSED
  179: 'new-session', // SESSION_HANDLE_INVALID
  144: 'new-session', // OPERATION_ACTIVE
  145: 'new-session', // OPERATION_NOT_INITIALIZED
  130: 'find-again', // OBJECT_HANDLE_INVALID
  96: 'find-again', // KEY_HANDLE_INVALID
  257: 'login', // USER_NOT_LOGGED_IN
  104: 'unfit', // KEY_FUNCTION_NOT_PERMITTED
  112: 'unfit', // MECHANISM_INVALID
  113: 'unfit', // MECHANISM_PARAM_INVALID
  48: 'broken', // DEVICE_ERROR
  49: 'broken', // DEVICE_MEMORY
  50: 'broken', // DEVICE_REMOVED
  177: 'broken', // SESSION_COUNT
  224: 'broken', // TOKEN_NOT_PRESENT
  225: 'broken', // TOKEN_NOT_RECOGNIZED
  400: 'broken', // CRYPTOKI_NOT_INITIALIZED
  2147483648: 'broken', // VENDOR_DEFINED
};

/** A wrong tag or a dead token: only an unwrap can be the client's fault. */
const doubtful = [5, 6, 7, 33, 64, 65];

test('the ladder answers by number, and the same for every operation', () => {
  for (const [number, kind] of Object.entries(ladder)) {
    for (const operation of operations) {
      assert.deepEqual(recoveryFor(operation, Number(number)), { kind }, `${operation} ${number}`);
    }
  }
});

test('a return value that may be about the input asks the self-test after an unwrap only', () => {
  for (const number of doubtful) {
    assert.deepEqual(recoveryFor('unwrap', number), { kind: 'ask-self-test' }, String(number));
    assert.deepEqual(recoveryFor('wrap', number), { kind: 'broken' }, String(number));
    assert.deepEqual(recoveryFor('self-test', number), { kind: 'broken' }, String(number));
  }
});

test('no number at all, or one that nobody knows, means that the module is beyond repair', () => {
  for (const operation of operations) {
    assert.deepEqual(recoveryFor(operation, undefined), { kind: 'broken' });
    for (const number of [0, 1, 999, -1]) {
      assert.deepEqual(recoveryFor(operation, number), { kind: 'broken' }, String(number));
    }
  }
});

test('a return value is about the whole token only where no key and no input can cause it', () => {
  // Device and token gone, logged out, out of sessions, not initialised.
  const whole = [48, 49, 50, 177, 224, 225, 257, 400];
  const one = [...doubtful, 96, 104, 112, 113, 130, 144, 145, 160, 176, 179, 0, 999, undefined];
  for (const number of whole) assert.equal(isTokenLost(number), true, String(number));
  for (const number of one) assert.equal(isTokenLost(number), false, String(number));
});

test('the numbers are those of the PKCS#11 header', () => {
  const header = new Map<string, unknown>(Object.entries(pkcs11js));
  for (const [name, number] of Object.entries(ckr)) {
    assert.equal(header.get(`CKR_${name}`), number, name);
  }
});

test('the number is found in each shape that an error has', () => {
  const shapes: readonly (readonly [unknown, number | undefined])[] = [
    [Object.assign(new Error('CKR_PIN_INCORRECT'), { code: 160 }), 160],
    [new Error('CKR_OBJECT_HANDLE_INVALID:130'), 130],
    [Object.assign(new Error('CKR_DEVICE_ERROR:48'), { code: 0 }), 48],
    [Object.assign(new Error('CKR_DEVICE_ERROR:48'), { code: 5 }), 5],
    [Object.assign(new Error('dlopen failed'), { code: 0 }), undefined],
    [Object.assign(new Error('no such file'), { code: 'ENOENT' }), undefined],
    [new Error('CKR_GENERAL_ERROR'), undefined],
    [{ code: 160 }, undefined],
    ['CKR_PIN_INCORRECT:160', undefined],
    [160, undefined],
    [undefined, undefined],
    [null, undefined],
  ];
  for (const [error, number] of shapes) assert.equal(ckrOf(error), number, String(error));
});

test('people read name and number, or the text where there is none', () => {
  const withCode = (code: number): Error => Object.assign(new Error('misleading name'), { code });
  assert.equal(ckrText(withCode(160)), 'CKR_PIN_INCORRECT (0xa0)');
  assert.equal(ckrText(withCode(999)), 'return value (0x3e7)');
  assert.equal(ckrText(new Error('dlopen failed')), 'dlopen failed');
  assert.equal(ckrText('just text'), 'just text');
});

test('what a real module throws is read right, in both shapes', async () => {
  const { api, session } = await memoryToken();
  const thrown = (call: () => unknown): unknown => {
    try {
      call();
    } catch (error) {
      return error;
    }
    return assert.fail('nothing was thrown');
  };
  const cmac = { mechanism: pkcs11js.CKM_AES_CMAC };
  const noKey = Buffer.alloc(8, 0xee);
  assert.equal(
    ckrOf(thrown(() => api.C_SignInit(session, cmac, noKey))),
    ckr.OBJECT_HANDLE_INVALID,
  );
  assert.equal(ckrOf(thrown(() => api.C_GetSessionInfo(noKey))), ckr.SESSION_HANDLE_INVALID);
  // This function throws the plain form, without `code`.
  const plain = thrown(() => api.C_CopyObject(session, noKey, []));
  assert.equal(ckrOf(plain), ckr.OBJECT_HANDLE_INVALID);
  assert.ok(plain instanceof Error && !('code' in plain && plain.code === 130), String(plain));
});
