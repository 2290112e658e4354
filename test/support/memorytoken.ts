// A fresh SoftHSM token in this process, with an open writable session.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pkcs11js from 'pkcs11js';
import { Pkcs11Module } from '../../src/providers/pkcs11/module.ts';
import { RefusedPin } from '../../src/providers/pkcs11/refusedpin.ts';
import { Token } from '../../src/providers/pkcs11/token.ts';
import { initializeToken } from '../../src/providers/pkcs11/write/initialization.ts';
import { firstModule } from '../../src/softhsm.ts';
import { temporaryFolder } from './folder.ts';

export async function memoryToken(): Promise<{ api: pkcs11js.PKCS11; session: Buffer }> {
  const folder = temporaryFolder();
  const conf = join(folder, 'softhsm2.conf');
  mkdirSync(join(folder, 'tokens'));
  writeFileSync(conf, `directories.tokendir = ${folder}/tokens\n`);
  const module = Pkcs11Module.open(firstModule(), conf);
  const pin = 'a-pin-for-tests';
  initializeToken(module, 'test', 'so-pin-for-tests', pin);
  const refusedPin = new RefusedPin(folder);
  const token = await Token.open(module, { label: 'test', pin, refusedPin, writable: true });
  return { api: module.api, session: token.newSession() };
}
