// Which RSA public keys a KEK may be wrapped for. A small exponent is no key at all:
// with e = 1 the wrapped KEK is in clear. Above 8,192 bits nothing is safer, and
// modules refuse.
import type { KeyObject } from 'node:crypto';

export const rsaBits = { least: 3072, most: 8192 } as const;
const leastExponent = 65_537n;

/**
 * RSA of 3,072 to 8,192 bits with an odd exponent of 65,537 or more.
 * Throws an Error that says what was found.
 */
export function requireRsaKey(key: KeyObject): void {
  const type = key.asymmetricKeyType ?? key.type;
  if (type !== 'rsa') throw new Error(`it is not an RSA key but ${type}`);
  const { modulusLength: bits = 0, publicExponent: e = 0n } = key.asymmetricKeyDetails ?? {};
  if (bits < rsaBits.least || bits > rsaBits.most) {
    throw new Error(`it has ${bits} bits, allowed are ${rsaBits.least} to ${rsaBits.most}`);
  }
  if (e < leastExponent || e % 2n === 0n) {
    throw new Error(`its exponent is ${e}, which must be odd and ${leastExponent} or more`);
  }
}
