// What an operator of Vault can do: a plaintext backup of the Transit key `kleidi`, edited
// and restored, has another AES key under the same HMAC key.
import { randomBytes } from 'node:crypto';
import type { VaultServer } from './vaultserver.ts';

interface Entry {
  key: string;
  hmac_key: string;
}

interface KeyData {
  policy: { keys: Record<string, Entry> };
  archived_keys?: { keys: Entry[] };
}

const key = 'transit/keys/kleidi/config';

/** Lets the key be backed up, and gives the backup. */
export async function backUp(server: VaultServer): Promise<string> {
  await server.ask('POST', key, { exportable: true, allow_plaintext_backup: true });
  const { data } = await server.ask('GET', 'transit/backup/kleidi');
  return (data as { backup: string }).backup;
}

/** The same backup with another AES key for this version. */
export function swapped(backup: string, version: number): string {
  const data = JSON.parse(Buffer.from(backup, 'base64').toString()) as KeyData;
  const other = randomBytes(32).toString('base64');
  for (const entry of [data.policy.keys[version], data.archived_keys?.keys[version]]) {
    if (entry !== undefined) entry.key = other;
  }
  return Buffer.from(JSON.stringify(data)).toString('base64');
}

export async function restore(server: VaultServer, backup: string): Promise<void> {
  await server.ask('POST', 'transit/restore/kleidi', { backup, force: true });
}
