// Whether a host keeps KEKs in a token, by its ring; before it has a KEK, by whether Vault is
// configured.
import type { Config } from '../config.ts';
import { isUnretired, type Ring } from '../keyring/ring.ts';

export function usesToken({ vault }: Config, ring: Ring | undefined): boolean {
  const keks = ring?.keks.filter(isUnretired) ?? [];
  if (keks.length > 0) return keks.some(({ provider }) => provider === 'pkcs11');
  return vault.address.length === 0;
}
