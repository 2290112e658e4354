// What `kleidi provision` leaves in the token: one object, and what whoever has
// the PIN can and cannot do with it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, test } from 'node:test';
import pkcs11js from 'pkcs11js';
import { copyIntoMemory, findKeks } from '../../src/providers/pkcs11/aeskek.ts';
import { ckrOf } from '../../src/providers/pkcs11/ckr.ts';
import { Pkcs11Module } from '../../src/providers/pkcs11/module.ts';
import { RefusedPin } from '../../src/providers/pkcs11/refusedpin.ts';
import { Token } from '../../src/providers/pkcs11/token.ts';
import { firstModule } from '../../src/softhsm.ts';
import { TestHost } from '../support/host.ts';

const host = await TestHost.provisioned();
const module = Pkcs11Module.open(firstModule(), host.softhsmConf);
const token = await Token.open(module, {
  label: 'kleidi',
  pin: host.pin,
  refusedPin: new RefusedPin(join(host.folder, 'run')),
  writable: true,
});
const { api } = module;
const session = token.newSession();
const kek = onlyObject();
after(() => module.close());

const ckr = {
  ATTRIBUTE_READ_ONLY: 0x10,
  ATTRIBUTE_SENSITIVE: 0x11,
  KEY_UNEXTRACTABLE: 0x6a,
  MECHANISM_INVALID: 0x70,
} as const;

function onlyObject(): Buffer {
  api.C_FindObjectsInit(session, []);
  const found = api.C_FindObjects(session, 100);
  api.C_FindObjectsFinal(session);
  assert.equal(found.length, 1, 'no transport key, no newborn KEK beside the one');
  return found[0] ?? Buffer.alloc(8);
}

function attribute(handle: Buffer, type: number): Buffer {
  return api.C_GetAttributeValue(session, handle, [{ type }])[0]?.value ?? Buffer.alloc(0);
}

function refusedWith(number: number, work: () => unknown): void {
  assert.throws(work, (error) => ckrOf(error) === number);
}

/** Everything but CKA_TOKEN, which tells the two places apart. */
function requireKekAttributes(handle: Buffer): void {
  const flags = {
    SENSITIVE: 1,
    EXTRACTABLE: 0,
    PRIVATE: 1,
    ENCRYPT: 1,
    DECRYPT: 1,
    SIGN: 1,
    VERIFY: 0,
    WRAP: 0,
    UNWRAP: 0,
    DERIVE: 0,
  } as const;
  for (const [name, value] of Object.entries(flags)) {
    const type = pkcs11js[`CKA_${name as keyof typeof flags}`];
    assert.equal(attribute(handle, type)[0], value, name);
  }
  const allowed = attribute(handle, pkcs11js.CKA_ALLOWED_MECHANISMS);
  const mechanisms = Array.from({ length: allowed.length / 8 }, (_, i) =>
    Number(allowed.readBigUInt64LE(8 * i)),
  );
  const [gcm, cmac] = [pkcs11js.CKM_AES_GCM, pkcs11js.CKM_AES_CMAC];
  assert.deepEqual(new Set(mechanisms), new Set([gcm, cmac]));
  assert.equal(mechanisms.length, 2);
}

test('the token holds one object: an AES key, named by the fingerprint in the ring', () => {
  assert.equal(attribute(kek, pkcs11js.CKA_CLASS).readUInt32LE(), pkcs11js.CKO_SECRET_KEY);
  assert.equal(attribute(kek, pkcs11js.CKA_KEY_TYPE).readUInt32LE(), pkcs11js.CKK_AES);
  assert.equal(attribute(kek, pkcs11js.CKA_TOKEN)[0], 1);
  assert.equal(attribute(kek, pkcs11js.CKA_ID).toString('hex'), host.ring.keks[0]?.fp);
});

test('the KEK seals, opens and makes its fingerprint, and nothing else', () => {
  requireKekAttributes(kek);
});

test('the KEK cannot be read out or made readable', () => {
  const value = [{ type: pkcs11js.CKA_VALUE }];
  refusedWith(ckr.ATTRIBUTE_SENSITIVE, () => api.C_GetAttributeValue(session, kek, value));
  const looser = [
    [pkcs11js.CKA_EXTRACTABLE, true],
    [pkcs11js.CKA_SENSITIVE, false],
  ] as const;
  for (const [type, wanted] of looser) {
    refusedWith(ckr.ATTRIBUTE_READ_ONLY, () =>
      api.C_SetAttributeValue(session, kek, [{ type, value: wanted }]),
    );
    refusedWith(ckr.ATTRIBUTE_READ_ONLY, () =>
      api.C_CopyObject(session, kek, [
        { type: pkcs11js.CKA_TOKEN, value: false },
        { type, value: wanted },
      ]),
    );
  }
  requireKekAttributes(kek);
});

test('the KEK cannot be wrapped out by another key', () => {
  const wrapping = api.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
    { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
    { type: pkcs11js.CKA_TOKEN, value: false },
    { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11js.CKA_WRAP, value: true },
  ]);
  const by = { mechanism: pkcs11js.CKM_AES_KEY_WRAP };
  refusedWith(ckr.KEY_UNEXTRACTABLE, () =>
    api.C_WrapKey(session, by, wrapping, kek, Buffer.alloc(64)),
  );
});

test('the KEK does not do ECB, which would give away the hash key of GCM', () => {
  for (const mechanism of [pkcs11js.CKM_AES_ECB, pkcs11js.CKM_AES_CBC, pkcs11js.CKM_AES_CTR]) {
    const asked = { mechanism, parameter: randomBytes(16) };
    refusedWith(ckr.MECHANISM_INVALID, () => api.C_EncryptInit(session, asked, kek));
  }
});

test('the copy in memory that the daemon works with is bound in the same way', () => {
  const [found] = findKeks(token).keks;
  assert.ok(found);
  const copy = copyIntoMemory(token, found);
  assert.ok(copy);
  assert.equal(attribute(copy, pkcs11js.CKA_TOKEN)[0], 0);
  requireKekAttributes(copy);
  const value = [{ type: pkcs11js.CKA_VALUE }];
  refusedWith(ckr.ATTRIBUTE_SENSITIVE, () => api.C_GetAttributeValue(session, copy, value));
});
