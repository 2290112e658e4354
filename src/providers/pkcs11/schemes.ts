// Which scheme the keys of a token are used by.
import { aesScheme } from './aeskek.ts';
import type { KeyScheme } from './scheme.ts';
import type { Pkcs11Settings } from './settings.ts';
import { tpmScheme } from './tpmkek.ts';

export function schemeOf({ tpm }: Pkcs11Settings): KeyScheme {
  return tpm === undefined ? aesScheme : tpmScheme;
}
