// The PIN of a token, or its SO PIN: tried once, and changed in the token itself.
import { KleidiError } from '../../../errors.ts';
import { ckrText } from '../ckr.ts';
import type { Handle, Pkcs11Module } from '../module.ts';
import type { PinUser } from '../refusedpin.ts';
import { findSlot, firstSession, type NamedMechanism } from '../slot.ts';
import { isPinRefusal, loginOnce, Token, type TokenAccess } from '../token.ts';

/** @returns a session that is logged in @throws KleidiError as `Token.open` */
export async function openAs(
  module: Pkcs11Module,
  access: TokenAccess,
  who: PinUser,
  mechanisms: readonly NamedMechanism[],
): Promise<Handle> {
  if (who === 'user') return (await Token.open(module, access, mechanisms)).anchor;
  const slot = findSlot(module, access.label);
  if (!module.isSoftHsm) await access.refusedPin.requireUntried(access.pin);
  const session = firstSession(module, slot, true);
  await loginOnce(module, session, access, 'so');
  return session;
}

/**
 * @param access with the old PIN
 * @throws KleidiError as `openAs`; refused where the token does not take the new one;
 *   module-failed, and it may have taken it
 */
export async function changePin(
  module: Pkcs11Module,
  access: TokenAccess,
  who: PinUser,
  pin: string,
  mechanisms: readonly NamedMechanism[],
): Promise<void> {
  const session = await openAs(module, access, who, mechanisms);
  try {
    module.api.C_SetPIN(session, access.pin, pin);
  } catch (cause) {
    const { label } = access;
    if (isPinRefusal(cause)) {
      throw new KleidiError(
        'refused',
        `token '${label}' does not take the new PIN: ${ckrText(cause)}; its PIN was not changed`,
        { hint: 'choose one by the rules of the HSM: length, characters, none of the last ones' },
      );
    }
    throw new KleidiError(
      'module-failed',
      `the PIN of token '${label}' could not be changed: ${ckrText(cause)}`,
      { hint: 'check the HSM and its connection, then run kleidi pin set again', cause },
    );
  }
}
