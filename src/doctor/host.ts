// Doctor's group host: what kleidi needs of the machine itself.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { arch } from 'node:process';
import { type Check, type Finding, type Findings, fail, ok, warn } from './check.ts';
import { systemdVersion } from './systemctl.ts';

/** LoadCredentialEncrypted= and systemd-creds came with it. */
const creatingCredentials = 250;

export const host: Check = {
  group: 'host',
  needsConfig: false,

  async run({ root }) {
    const version = await systemdVersion();
    return [
      ok(`Linux on ${arch}, Node ${process.versions.node}`),
      systemdFinding(version),
      packageFinding(root),
    ];
  },
};

/** The notes of the package's own scripts (packaging/scripts/prelude.sh). */
function packageFinding(root: string): Findings {
  const state = join(root, 'var/lib');
  if (existsSync(join(state, 'kleidi.unfinished'))) {
    return fail(
      'an installation or a removal of the package was cut short',
      'dpkg --configure kleidi, or install the rpm again: rpm -U --replacepkgs',
    );
  }
  if (!existsSync(join(state, 'kleidi.first-boot'))) return undefined;
  return fail(
    'the first boot has not provisioned this host yet',
    'systemctl start kleidi-first-boot; journalctl -u kleidi-first-boot says why it fails',
  );
}

export function systemdFinding(version: number | undefined): Finding {
  if (version === undefined) return warn('systemd is not installed', 'see kleidi serve --socket');
  if (version >= creatingCredentials) return ok(`systemd ${version}`);
  return warn(
    `systemd ${version} is older than ${creatingCredentials}: the PIN lies in a file that only root can read, not encrypted`,
    'upgrade the distribution when you can; keep /etc/kleidi/credentials off backups',
  );
}
