// Proof for `provision --replace copied-disk`: token and PIN are those of another host. That
// the machine-id differs does not tell a copy from a host whose own has changed: then its PIN
// comes back with the old one, so the operator has the last word.
import { KleidiError } from '../../errors.ts';
import type { ProvisionRecord } from './record.ts';

/**
 * @param machine of this host
 * @param isCopy whether the operator says that this is another host
 * @returns what was proved, as sentences
 * @throws KleidiError refused
 */
export function proveCopiedDisk(
  record: ProvisionRecord | undefined,
  machine: string,
  isCopy: boolean,
): readonly string[] {
  if (record === undefined) {
    throw refused('there is no provision.json, so it is not known where this token was made');
  }
  if (record.machine === machine) throw refused('token and ring were made on this machine');
  if (!isCopy) {
    throw refused('nobody has said that this is another host, whose disk is a copy: --copied');
  }
  return [
    'Token and ring were made under another machine-id than that of this host.',
    'The operator said that this is another host, and that the one of before keeps them.',
  ];
}

function refused(message: string): KleidiError {
  return new KleidiError('refused', `${message}; nothing was changed`, {
    hint: 'the same host with another machine-id: put the old one back (a backup; the folders in /var/log/journal are named by it); a lost token: kleidi provision --replace lost-token',
  });
}
