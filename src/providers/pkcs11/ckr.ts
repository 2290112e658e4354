// PKCS#11 return values by number. pkcs11js gives them in three shapes: an
// Error with `code`, a plain Error whose text is "CKR_X:nnn" (C_FindObjects,
// C_CreateObject, C_CopyObject, C_SetAttributeValue), and names that are wrong
// for codes it does not know. So kleidi switches on the number only.
import { reasonOf } from '../../errors.ts';

export const ckr = {
  GENERAL_ERROR: 0x05,
  FUNCTION_FAILED: 0x06,
  ARGUMENTS_BAD: 0x07,
  DATA_LEN_RANGE: 0x21,
  DEVICE_ERROR: 0x30,
  DEVICE_MEMORY: 0x31,
  DEVICE_REMOVED: 0x32,
  ENCRYPTED_DATA_INVALID: 0x40,
  ENCRYPTED_DATA_LEN_RANGE: 0x41,
  KEY_HANDLE_INVALID: 0x60,
  KEY_SIZE_RANGE: 0x62,
  KEY_FUNCTION_NOT_PERMITTED: 0x68,
  MECHANISM_INVALID: 0x70,
  MECHANISM_PARAM_INVALID: 0x71,
  OBJECT_HANDLE_INVALID: 0x82,
  OPERATION_ACTIVE: 0x90,
  OPERATION_NOT_INITIALIZED: 0x91,
  PIN_INCORRECT: 0xa0,
  PIN_INVALID: 0xa1,
  PIN_LEN_RANGE: 0xa2,
  PIN_EXPIRED: 0xa3,
  PIN_LOCKED: 0xa4,
  SESSION_CLOSED: 0xb0,
  SESSION_COUNT: 0xb1,
  SESSION_HANDLE_INVALID: 0xb3,
  TOKEN_NOT_PRESENT: 0xe0,
  TOKEN_NOT_RECOGNIZED: 0xe1,
  USER_ALREADY_LOGGED_IN: 0x100,
  USER_NOT_LOGGED_IN: 0x101,
  CRYPTOKI_NOT_INITIALIZED: 0x190,
  CRYPTOKI_ALREADY_INITIALIZED: 0x191,
} as const;

/** The return value inside what pkcs11js threw, or undefined where there is none. */
export function ckrOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const code: unknown = 'code' in error ? error.code : undefined;
  if (typeof code === 'number' && code !== 0) return code;
  const inText = /CKR_\w+:(\d+)/.exec(error.message);
  return inText?.[1] === undefined ? undefined : Number(inText[1]);
}

/** `CKR_PIN_INCORRECT`, a number that has no name here in hex, or `none`. */
export function ckrName(error: unknown): string {
  const number = ckrOf(error);
  if (number === undefined) return 'none';
  return nameOf(number) ?? `0x${number.toString(16)}`;
}

/** For people: `CKR_PIN_INCORRECT (0xa0)`, or the text where there is no number. */
export function ckrText(error: unknown): string {
  const number = ckrOf(error);
  if (number === undefined) return reasonOf(error);
  return `${nameOf(number) ?? 'return value'} (0x${number.toString(16)})`;
}

function nameOf(number: number): string | undefined {
  const name = Object.entries(ckr).find(([, value]) => value === number)?.[0];
  return name === undefined ? undefined : `CKR_${name}`;
}
