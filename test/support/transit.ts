// The provider over the Transit key `kleidi` that test servers have. Each look tests
// it: nothing is put off.

import type { ProviderCounts } from '../../src/providers/counts.ts';
import type { VaultAuth, VaultSettings } from '../../src/providers/vault/configured.ts';
import { VaultProvider } from '../../src/providers/vault/vault.ts';

export function openTransit(
  addresses: readonly string[],
  auth: VaultAuth,
  more: Partial<VaultSettings> = {},
  counts?: ProviderCounts,
): Promise<VaultProvider> {
  const settings = {
    addresses,
    namespace: '',
    mount: 'transit',
    key: 'kleidi',
    ca: undefined,
    callTimeoutMs: 1_000,
    testEveryMs: 0,
    knownTexts: async () => new Map(),
    auth,
    ...more,
  };
  return VaultProvider.open(settings, counts);
}
