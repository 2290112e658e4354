// A slot: the one that holds a token, what its mechanisms must be, and sessions in it.
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../errors.ts';
import { ckrText } from './ckr.ts';
import type { Handle, Pkcs11Module } from './module.ts';

/** Labels are padded with blanks to 32 bytes; an absent token is an empty list, not an error. */
export function findSlot(module: Pkcs11Module, label: string): Handle {
  const found: string[] = [];
  try {
    for (const slot of module.api.C_GetSlotList(true)) {
      const info = module.api.C_GetTokenInfo(slot);
      if ((info.flags & pkcs11js.CKF_TOKEN_INITIALIZED) === 0) continue;
      if (info.label.trimEnd() === label) return slot;
      found.push(info.label.trimEnd());
    }
  } catch (cause) {
    throw failed(
      'the slots cannot be listed',
      cause,
      'restart the HSM client software, then kleidi',
    );
  }
  const seen = found.length === 0 ? 'no token at all' : `only ${found.join(', ')}`;
  throw new KleidiError(
    'token-missing',
    `token '${label}' is not present: the module shows ${seen}`,
    {
      hint: module.isTpm
        ? 'check tpm.token and tpm.store; kleidi tpm create makes a token there'
        : 'check pkcs11.token, the token folder and its owner; on a new host run: kleidi provision',
    },
  );
}

export type NamedMechanism = readonly [number, string];

export const aesMechanisms: readonly NamedMechanism[] = [
  [pkcs11js.CKM_AES_GCM, 'CKM_AES_GCM'],
  [pkcs11js.CKM_AES_CMAC, 'CKM_AES_CMAC'],
];

/** @throws KleidiError module-unsupported, module-failed */
export function requireMechanisms(
  module: Pkcs11Module,
  slot: Handle,
  needed: readonly NamedMechanism[],
): void {
  const offered = mechanismsOf(module, slot);
  const missing = needed.filter(([number]) => !offered.has(number)).map(([, name]) => name);
  if (missing.length === 0) return;
  throw new KleidiError(
    'module-unsupported',
    `${module.description} lacks ${missing.join(' and ')}`,
    {
      hint: '/usr/share/doc/kleidi/hsm.md says what a module must do, and lists some that were tried',
    },
  );
}

function mechanismsOf(module: Pkcs11Module, slot: Handle): ReadonlySet<number> {
  try {
    return new Set(module.api.C_GetMechanismList(slot));
  } catch (cause) {
    throw failed('no list of mechanisms', cause);
  }
}

/** Throws what pkcs11js threw. */
export function newSession(module: Pkcs11Module, slot: Handle, writable: boolean): Handle {
  const flags = pkcs11js.CKF_SERIAL_SESSION | (writable ? pkcs11js.CKF_RW_SESSION : 0);
  return module.api.C_OpenSession(slot, flags);
}

/** @throws KleidiError module-failed */
export function firstSession(module: Pkcs11Module, slot: Handle, writable: boolean): Handle {
  try {
    return newSession(module, slot, writable);
  } catch (cause) {
    throw failed('no session could be opened', cause);
  }
}

function failed(
  what: string,
  cause: unknown,
  hint = 'check the HSM and its connection',
): KleidiError {
  return new KleidiError('module-failed', `${what}: ${ckrText(cause)}`, { hint, cause });
}
