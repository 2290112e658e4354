// Turns an empty slot into a token. Never called on an initialised token:
// C_InitToken would destroy its keys without a question.
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../../errors.ts';
import { ckrText } from '../ckr.ts';
import type { Handle, Pkcs11Module } from '../module.ts';
import { findSlot } from '../slot.ts';

/** PKCS#11 pads labels with blanks; pkcs11js does not. */
const labelBytes = 32;

/** Safe to repeat until it has returned; never touches an initialised token. */
export function initializeToken(
  module: Pkcs11Module,
  label: string,
  soPin: string,
  pin: string,
): void {
  try {
    const slot = slotOf(module, label) ?? makeToken(module, label, soPin);
    if (!hasUserPin(module, slot)) setUserPin(module, slot, soPin, pin);
  } catch (error) {
    if (error instanceof KleidiError) throw error;
    throw new KleidiError('module-failed', `token '${label}' cannot be made: ${ckrText(error)}`, {
      hint: 'check free space and the owner of the token folder; some HSMs make tokens with their own tool only',
      cause: error,
    });
  }
}

/** An earlier, interrupted run may have come this far. */
function slotOf(module: Pkcs11Module, label: string): Handle | undefined {
  try {
    return findSlot(module, label);
  } catch (error) {
    if (error instanceof KleidiError && error.code === 'token-missing') return undefined;
    throw error;
  }
}

function makeToken(module: Pkcs11Module, label: string, soPin: string): Handle {
  const { api } = module;
  const empty = api
    .C_GetSlotList(true)
    .find((slot) => (api.C_GetTokenInfo(slot).flags & pkcs11js.CKF_TOKEN_INITIALIZED) === 0);
  if (empty === undefined) {
    throw new KleidiError('refused', 'the module has no empty slot', {
      hint: 'name an existing token in pkcs11.token, or make room with the tool of the HSM',
    });
  }
  api.C_InitToken(empty, soPin, label.padEnd(labelBytes));
  // SoftHSM gives the new token another slot.
  return findSlot(module, label);
}

function hasUserPin({ api }: Pkcs11Module, slot: Handle): boolean {
  return (api.C_GetTokenInfo(slot).flags & pkcs11js.CKF_USER_PIN_INITIALIZED) !== 0;
}

function setUserPin({ api }: Pkcs11Module, slot: Handle, soPin: string, pin: string): void {
  const session = api.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
  try {
    api.C_Login(session, pkcs11js.CKU_SO, soPin);
    api.C_InitPIN(session, pin);
    api.C_Logout(session);
  } finally {
    api.C_CloseSession(session);
  }
}
