// What the settings of the Transit key let its operator do with the KEKs. Vault never takes
// the first two back.
import type { KeyMetadata } from './answers.ts';

export type KeySettings = Pick<KeyMetadata, 'exportable' | 'plaintextBackup' | 'deletable'>;

/** Ways in which the KEKs leave Vault in clear, as Vault names them. */
export function leaksOf({ exportable, plaintextBackup }: KeySettings): readonly string[] {
  return [
    ...(exportable ? ['exportable: true'] : []),
    ...(plaintextBackup ? ['allow_plaintext_backup: true'] : []),
  ];
}

export function leakText(key: string, leaks: readonly string[]): string {
  return `Transit key '${key}' has ${leaks.join(' and ')}: its KEKs can be read out of Vault in clear, and edited in a backup`;
}

export const leakHint =
  'Vault never takes this back: make another Transit key without it, and name that in vault.key (docs/operations.md, Vault or OpenBao)';

export function deletableText(key: string): string {
  return `Transit key '${key}' has deletion_allowed: true: one call deletes every KEK in it, and all that is sealed under them`;
}

export function deletableHint(mount: string, key: string): string {
  return `vault write ${mount}/keys/${key}/config deletion_allowed=false`;
}
