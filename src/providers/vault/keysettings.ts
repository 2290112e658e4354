// What the settings of the Transit key let its operator do with the KEKs. Vault never takes
// the first two back.
import type { KeyMetadata } from './answers.ts';

export type KeySettings = Pick<KeyMetadata, 'exportable' | 'plaintextBackup' | 'deletable'>;

/** What is unsafe, and the next step. */
interface UnsafeSetting {
  readonly what: string;
  readonly todo: string;
}

/** KEKs can leave Vault in clear. */
export function leakIn(key: string, settings: KeySettings): UnsafeSetting | undefined {
  const { exportable, plaintextBackup } = settings;
  // As Vault names them.
  const leaks = [
    ...(exportable ? ['exportable: true'] : []),
    ...(plaintextBackup ? ['allow_plaintext_backup: true'] : []),
  ];
  if (leaks.length === 0) return undefined;
  return {
    what: `Transit key '${key}' has ${leaks.join(' and ')}: its KEKs can be read out of Vault in clear, and edited in a backup`,
    todo: 'Vault never takes this back: make another Transit key without it, and name that in vault.key (/usr/share/doc/kleidi/operations.md, Vault or OpenBao)',
  };
}

/** KEKs can be ended by one call. */
export function deletionIn(
  mount: string,
  key: string,
  settings: KeySettings,
): UnsafeSetting | undefined {
  if (!settings.deletable) return undefined;
  return {
    what: `Transit key '${key}' has deletion_allowed: true: one call deletes every KEK in it, and all that is sealed under them`,
    todo: `vault write ${mount}/keys/${key}/config deletion_allowed=false`,
  };
}
