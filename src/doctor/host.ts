// Doctor's group host: what kleidi needs of the machine itself.
import { arch } from 'node:process';
import { type Check, type Finding, ok, warn } from './check.ts';
import { systemdVersion } from './systemctl.ts';

/** LoadCredentialEncrypted= and systemd-creds came with it. */
const creatingCredentials = 250;

export const host: Check = {
  group: 'host',
  needsConfig: false,

  async run() {
    const version = await systemdVersion();
    return [ok(`Linux on ${arch}, Node ${process.versions.node}`), systemdFinding(version)];
  },
};

export function systemdFinding(version: number | undefined): Finding {
  if (version === undefined) return warn('systemd is not installed', 'see kleidi serve --socket');
  if (version >= creatingCredentials) return ok(`systemd ${version}`);
  return warn(
    `systemd ${version} is older than ${creatingCredentials}: the PIN lies in a file that only root can read, not encrypted`,
    'upgrade the distribution when you can; keep /etc/kleidi/credentials off backups',
  );
}
