// Every object in the token of a host, with what tells it apart: to prove that
// a refused command has left the token as it was.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import pkcs11js from 'pkcs11js';
import { Pkcs11Module } from '../../src/providers/pkcs11/module.ts';
import { RefusedPin } from '../../src/providers/pkcs11/refusedpin.ts';
import { Token } from '../../src/providers/pkcs11/token.ts';
import { firstModule } from '../../src/softhsm.ts';
import type { TestHost } from './host.ts';

const attributes = {
  class: pkcs11js.CKA_CLASS,
  keyType: pkcs11js.CKA_KEY_TYPE,
  label: pkcs11js.CKA_LABEL,
  id: pkcs11js.CKA_ID,
  private: pkcs11js.CKA_PRIVATE,
  sensitive: pkcs11js.CKA_SENSITIVE,
  extractable: pkcs11js.CKA_EXTRACTABLE,
  encrypt: pkcs11js.CKA_ENCRYPT,
  decrypt: pkcs11js.CKA_DECRYPT,
  sign: pkcs11js.CKA_SIGN,
  wrap: pkcs11js.CKA_WRAP,
  unwrap: pkcs11js.CKA_UNWRAP,
  derive: pkcs11js.CKA_DERIVE,
  allowed: pkcs11js.CKA_ALLOWED_MECHANISMS,
  modulus: pkcs11js.CKA_MODULUS,
} as const;

/** What is needed to open a token. */
export type TokenPlace = Pick<TestHost, 'folder' | 'pin' | 'softhsmConf'>;

export type TokenObject = Readonly<Record<keyof typeof attributes, string>>;

/** In a fixed order. A module lives once in a process: hosts one after the other. */
export async function tokenObjects(host: TokenPlace): Promise<readonly TokenObject[]> {
  return withObjects(host, (api, session, handles) => {
    const listed = handles.map((handle) => describe(api, session, handle));
    return listed.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  });
}

/** Those with this CKA_ID. */
export async function destroyObjects(host: TestHost, id: string): Promise<void> {
  await withObjects(host, (api, session, handles) => {
    for (const handle of handles) {
      if (describe(api, session, handle).id === id) api.C_DestroyObject(session, handle);
    }
  });
}

/** An AES key that another program has left in the token, as open as can be. */
export async function plantKey(host: TokenPlace, label: string): Promise<void> {
  await withObjects(host, (api, session) => {
    api.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
      { type: pkcs11js.CKA_TOKEN, value: true },
      { type: pkcs11js.CKA_PRIVATE, value: true },
      { type: pkcs11js.CKA_SENSITIVE, value: false },
      { type: pkcs11js.CKA_EXTRACTABLE, value: true },
      { type: pkcs11js.CKA_SIGN, value: true },
      { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
      { type: pkcs11js.CKA_LABEL, value: label },
    ]);
  });
}

async function withObjects<T>(
  host: TokenPlace,
  work: (api: pkcs11js.PKCS11, session: Buffer, handles: readonly Buffer[]) => T,
): Promise<T> {
  const module = Pkcs11Module.open(firstModule(), host.softhsmConf);
  try {
    const refusedPin = new RefusedPin(join(host.folder, 'run'));
    const access = { label: 'kleidi', pin: host.pin, refusedPin, writable: true };
    const { anchor } = await Token.open(module, access);
    const { api } = module;
    api.C_FindObjectsInit(anchor, [{ type: pkcs11js.CKA_TOKEN, value: true }]);
    const handles = api.C_FindObjects(anchor, 10_000);
    api.C_FindObjectsFinal(anchor);
    return work(api, anchor, handles);
  } finally {
    module.close();
  }
}

function describe(api: pkcs11js.PKCS11, session: Buffer, handle: Buffer): TokenObject {
  const entries = Object.entries(attributes).map(([name, type]) => [
    name,
    attribute(api, session, handle, type),
  ]);
  return Object.fromEntries(entries) as TokenObject;
}

function attribute(api: pkcs11js.PKCS11, session: Buffer, handle: Buffer, type: number): string {
  try {
    const value = api.C_GetAttributeValue(session, handle, [{ type }])[0]?.value;
    if (value === undefined) return 'none';
    return value.length <= 64
      ? value.toString('hex')
      : createHash('sha256').update(value).digest('hex');
  } catch {
    return 'none';
  }
}
