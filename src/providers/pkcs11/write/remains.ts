// What killed commands leave in a token: an object that names a KEK in its
// CKA_ID and holds no key, because SoftHSM writes the value as a second step.
import pkcs11js from 'pkcs11js';
import type { Fingerprint } from '../../provider.ts';
import { attributeOf } from '../kek.ts';
import type { Findings } from '../scheme.ts';
import type { Token } from '../token.ts';

/** Removes those of these KEKs; whole keys are left alone. Throws what pkcs11js threw. */
export function destroyHalfMade(
  token: Token,
  { unusable }: Findings,
  fps: ReadonlySet<Fingerprint>,
): void {
  for (const handle of unusable) {
    const id = attributeOf(token, handle, pkcs11js.CKA_ID);
    if (id === undefined || !fps.has(id.toString('hex'))) continue;
    token.module.api.C_DestroyObject(token.anchor, handle);
  }
}
