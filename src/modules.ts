// Where distributions put SoftHSM's PKCS#11 module.
import { existsSync } from 'node:fs';

export const softHsmPaths = [
  '/usr/lib/softhsm/libsofthsm2.so', // Debian, Ubuntu
  '/usr/lib64/pkcs11/libsofthsm2.so', // Fedora, RHEL
  '/usr/lib64/softhsm/libsofthsm2.so',
  '/usr/lib64/libsofthsm2.so', // openSUSE
  '/usr/lib/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
] as const;

/** The first that exists, or Debian's path, so that the error names one. */
export function firstModule(): string {
  return softHsmPaths.find((path) => existsSync(path)) ?? softHsmPaths[0];
}

/** By its path, as every distribution has it: nothing need be loaded. */
export function isSoftHsm(module: string): boolean {
  return /softhsm/i.test(module);
}
