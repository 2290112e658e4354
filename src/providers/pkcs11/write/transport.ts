// The one-shot transport key of a request: an RSA pair whose private half is
// made in the token, stays there, and is destroyed by the import it was for.

import { createHash, createPublicKey } from 'node:crypto';
import pkcs11js from 'pkcs11js';
import { attributeOf, findInToken, hasId } from '../kek.ts';
import type { Handle } from '../module.ts';
import type { Token } from '../token.ts';
import { requestId, transportTemplates } from './template.ts';

export interface TransportKey {
  readonly privateKey: Handle;
  readonly spki: Buffer;
  /** SHA-256 of the SPKI, in hex. */
  readonly fingerprint: string;
}

/** All that are open: as a rule none or one. Throws what pkcs11js threw. */
export function openTransportKeys(token: Token): TransportKey[] {
  return handlesOfRequests(token).flatMap((handle) => transportKeyOf(token, handle) ?? []);
}

/** A killed command may have left half a key: it goes too. */
export function destroyTransportKeys(token: Token, spared: readonly TransportKey[]): void {
  const isSpared = (handle: Handle): boolean =>
    spared.some(({ privateKey }) => privateKey.equals(handle));
  for (const handle of handlesOfRequests(token).filter((each) => !isSpared(each))) {
    token.module.api.C_DestroyObject(token.anchor, handle);
  }
}

export function makeTransportKey(token: Token): TransportKey {
  const { privateKey } = generateTransportPair(token, token.anchor, 'token');
  const made = transportKeyOf(token, privateKey);
  if (made === undefined) throw new Error('the new transport key does not tell its modulus');
  return made;
}

/** Throws what pkcs11js threw. */
export function generateTransportPair(token: Token, session: Handle, place: 'token' | 'memory') {
  const templates = transportTemplates(place);
  return token.module.api.C_GenerateKeyPair(
    session,
    { mechanism: pkcs11js.CKM_RSA_PKCS_KEY_PAIR_GEN },
    templates.public,
    templates.private,
  );
}

function handlesOfRequests(token: Token): Handle[] {
  return findInToken(token, pkcs11js.CKO_PRIVATE_KEY, pkcs11js.CKK_RSA).filter((handle) =>
    hasId(token, handle, requestId),
  );
}

function transportKeyOf(token: Token, privateKey: Handle): TransportKey | undefined {
  const n = attributeOf(token, privateKey, pkcs11js.CKA_MODULUS);
  const e = attributeOf(token, privateKey, pkcs11js.CKA_PUBLIC_EXPONENT);
  if (n === undefined || e === undefined || n.length === 0 || e.length === 0) return undefined;
  const jwk = { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') };
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const spki = key.export({ format: 'der', type: 'spki' });
  const fingerprint = createHash('sha256').update(spki).digest('hex');
  return { privateKey, spki, fingerprint };
}
