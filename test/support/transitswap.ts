// What an operator of Vault can do: a plaintext backup of the Transit key `kleidi`, edited
// and restored, has another AES key under the same HMAC key.
import { randomBytes } from 'node:crypto';
import type { VaultServer } from './vaultserver.ts';

interface Entry {
  key: string;
  hmac_key: string;
}

interface KeyData {
  policy: { keys: Record<string, Entry>; exportable: boolean; allow_plaintext_backup: boolean };
  archived_keys?: { keys: Entry[] };
}

const key = 'transit/keys/kleidi/config';

/** Lets the key be backed up, and gives the backup, which does not tell that it could be. */
export async function backUp(server: VaultServer): Promise<string> {
  await server.ask('POST', key, { exportable: true, allow_plaintext_backup: true });
  const { data } = await server.ask('GET', 'transit/backup/kleidi');
  return edited((data as { backup: string }).backup, ({ policy }) => {
    policy.exportable = false;
    policy.allow_plaintext_backup = false;
  });
}

/** The same backup with another AES key for this version. */
export function swapped(backup: string, version: number): string {
  const other = randomBytes(32).toString('base64');
  return edited(backup, (data) => {
    for (const entry of [data.policy.keys[version], data.archived_keys?.keys[version]]) {
      if (entry !== undefined) entry.key = other;
    }
  });
}

function edited(backup: string, edit: (data: KeyData) => void): string {
  const data = JSON.parse(Buffer.from(backup, 'base64').toString()) as KeyData;
  edit(data);
  return Buffer.from(JSON.stringify(data)).toString('base64');
}

export async function restore(server: VaultServer, backup: string): Promise<void> {
  await server.ask('POST', 'transit/restore/kleidi', { backup, force: true });
}
