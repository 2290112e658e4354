// An open, logged-in token: the slot, the PIN, and the anchor session, which
// stays open for as long as the token is used. Closing the last session of a
// process logs it out and kills every private handle (PKCS#11 2.40, 5.6).
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../errors.ts';
import { ckr, ckrOf, ckrText } from './ckr.ts';
import type { Handle, Pkcs11Module } from './module.ts';
import { isTokenLost } from './recoverypolicy.ts';
import type { PinUser, RefusedPin } from './refusedpin.ts';
import { aesMechanisms, findSlot, firstSession, newSession, requireMechanisms } from './slot.ts';

export interface TokenAccess {
  readonly label: string;
  readonly pin: string;
  readonly refusedPin: RefusedPin;
  /** Only the command line writes to tokens. */
  readonly writable: boolean;
}

/** Where an open token is. Good in every thread of the process. */
export interface Place {
  readonly slot: Handle;
  /** The anchor session. */
  readonly anchor: Handle;
}

export class Token {
  readonly module: Pkcs11Module;
  readonly label: string;
  readonly #access: TokenAccess;
  #slot: Handle;
  #anchor: Handle;

  private constructor(module: Pkcs11Module, access: TokenAccess, slot: Handle, anchor: Handle) {
    this.module = module;
    this.label = access.label;
    this.#access = access;
    this.#slot = slot;
    this.#anchor = anchor;
  }

  /** @throws KleidiError token-missing, module-unsupported, pin-refused, token-damaged */
  static async open(
    module: Pkcs11Module,
    access: TokenAccess,
    mechanisms = aesMechanisms,
  ): Promise<Token> {
    const slot = findSlot(module, access.label);
    requireMechanisms(module, slot, mechanisms);
    if (!module.isSoftHsm) await access.refusedPin.requireUntried(access.pin);
    const anchor = firstSession(module, slot, access.writable);
    const token = new Token(module, access, slot, anchor);
    await token.login();
    return token;
  }

  /** A token that another thread has opened. */
  static at(module: Pkcs11Module, access: TokenAccess, { slot, anchor }: Place): Token {
    return new Token(module, access, slot, anchor);
  }

  get place(): Place {
    return { slot: this.#slot, anchor: this.#anchor };
  }

  /** Where another thread has found it. */
  moveTo({ slot, anchor }: Place): void {
    this.#slot = slot;
    this.#anchor = anchor;
  }

  get anchor(): Handle {
    return this.#anchor;
  }

  /** Throws what pkcs11js threw: the recovery policy knows what to do then. */
  newSession(): Handle {
    return newSession(this.module, this.#slot, this.#access.writable);
  }

  closeSession(session: Handle): void {
    try {
      this.module.api.C_CloseSession(session);
    } catch {
      // It was invalid already; there is nothing left to close.
    }
  }

  /** Opens the anchor session anew where it has died. */
  async revive(): Promise<void> {
    try {
      this.module.api.C_GetSessionInfo(this.#anchor);
    } catch {
      this.#slot = findSlot(this.module, this.label);
      this.#anchor = this.newSession();
    }
    const { pin, refusedPin } = this.#access;
    if (!this.module.isSoftHsm) await refusedPin.requireNotRefused(pin);
    await this.login();
  }

  /** At most one try: a token may count wrong PINs and lock. */
  login(): Promise<void> {
    return loginOnce(this.module, this.#anchor, this.#access);
  }
}

/**
 * As the user of the token, or as its security officer.
 * @throws KleidiError pin-refused, token-damaged, module-failed
 */
export async function loginOnce(
  { api, isSoftHsm, isTpm }: Pkcs11Module,
  session: Handle,
  { label, pin, refusedPin }: Omit<TokenAccess, 'writable'>,
  who: PinUser = 'user',
): Promise<void> {
  try {
    api.C_Login(session, who === 'so' ? pkcs11js.CKU_SO : pkcs11js.CKU_USER, pin);
  } catch (error) {
    const number = ckrOf(error);
    if (number === ckr.USER_ALREADY_LOGGED_IN) return;
    if (!isPinRefusal(error)) throw loginFailed(label, error, isTpm);
    if (isSoftHsm) throw softHsmRefusal(label, error);
    await refusedPin.remember(pin);
    throw pinRefused(label, error, isTpm ? tpmPinHint : hsmPinHint);
  }
}

/** The token does not take this PIN, whatever for. */
export function isPinRefusal(error: unknown): boolean {
  return pinRefusals.has(ckrOf(error));
}

const pinRefusals: ReadonlySet<number | undefined> = new Set([
  ckr.PIN_INCORRECT,
  ckr.PIN_INVALID,
  ckr.PIN_LEN_RANGE,
  ckr.PIN_EXPIRED,
  ckr.PIN_LOCKED,
]);

function loginFailed(label: string, cause: unknown, isTpm: boolean): KleidiError {
  const code = isTpm || isTokenLost(ckrOf(cause)) ? 'module-failed' : 'token-damaged';
  return new KleidiError(code, `login to token '${label}' failed: ${ckrText(cause)}`, {
    hint: isTpm
      ? 'the TPM does not answer, or its store was made by another one: on a new board, or where the TPM was cleared, KEKs of the old one are gone (/usr/share/doc/kleidi/operations.md, a KEK in the TPM)'
      : 'check the token folder, its owner and the HSM; restore the token from its recovery if it is damaged',
    cause,
  });
}

const hsmPinHint =
  'kleidi will not try this PIN again, so that the token does not lock: put the right PIN there with kleidi pin set, which also finishes a change of the PIN that was killed';
const tpmPinHint =
  'the store of the TPM and the credential of tpm.pin are not of one another: put both back from one backup of this host';

function pinRefused(label: string, cause: unknown, hint: string): KleidiError {
  const text = `token '${label}' refuses the PIN: ${ckrText(cause)}`;
  return new KleidiError('pin-refused', text, { hint, cause });
}

/** SoftHSM never locks, and says PIN_INCORRECT when token.object is damaged. */
function softHsmRefusal(label: string, cause: unknown): KleidiError {
  return new KleidiError('pin-refused', `token '${label}' refuses the PIN: ${ckrText(cause)}`, {
    hint: 'either the PIN credential is not of this token (kleidi pin set puts the right one there, and finishes a change of the PIN that was killed), or token.object is damaged; after fixing that: systemctl restart kleidi',
    cause,
  });
}
