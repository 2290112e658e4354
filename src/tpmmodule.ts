// Where distributions put the module of tpm2-pkcs11, and the name of its store.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const tpmModulePaths = [
  '/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1', // Debian, Ubuntu
  '/usr/lib/aarch64-linux-gnu/libtpm2_pkcs11.so.1',
  '/usr/lib64/pkcs11/libtpm2_pkcs11.so', // Fedora, RHEL
  '/usr/lib64/libtpm2_pkcs11.so.0',
] as const;

/** The first that exists, or Debian's path, so that the error names one. */
export function firstTpmModule(): string {
  return tpmModulePaths.find((path) => existsSync(path)) ?? tpmModulePaths[0];
}

/**
 * @param what the path of a module, as every distribution has it; or what a loaded module says
 *   of itself
 */
export function isTpmModule(what: string): boolean {
  return /tpm2/i.test(what);
}

/** An SQLite database. @param folder of the store */
export function tpmStorePath(folder: string): string {
  return join(folder, 'tpm2_pkcs11.sqlite3');
}

export function tpmStoreExists(folder: string): boolean {
  return existsSync(tpmStorePath(folder));
}
