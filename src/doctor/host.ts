// Doctor's group host: what kleidi needs of the machine itself.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { arch } from 'node:process';
import { systemdVersion } from '../host/systemctl.ts';
import {
  type Check,
  type Finding,
  type Findings,
  fail,
  failure,
  ok,
  type Subject,
  warn,
} from './check.ts';

/** LoadCredentialEncrypted= and systemd-creds came with it. */
const creatingCredentials = 250;

export const host: Check = {
  group: 'host',
  needs: 'nothing',

  async run(subject) {
    const version = await systemdVersion();
    return [
      ok(`Linux on ${arch}, Node ${process.versions.node}`),
      systemdFinding(version),
      packageFinding(subject.root),
      await roleFinding(subject),
    ];
  },
};

async function roleFinding(subject: Subject): Promise<Findings> {
  const role = await subject.role().catch(failure);
  if (typeof role === 'object') return (await isProvisioned(subject)) ? undefined : role;
  switch (role) {
    case 'master':
      return undefined;
    case 'offline':
      return ok('an offline machine: kleidi recovery works here, and nothing else is needed');
    case 'contradicted':
      return fail(
        'install.conf says ROLE=offline, and this host has a ring, a token or PINs',
        'set ROLE=master there where this host is to serve; the machine of the recovery key is another one',
      );
  }
}

/** What install.conf says has been done then, or is of no matter any more. */
async function isProvisioned(subject: Subject): Promise<boolean> {
  try {
    await subject.ring();
    return true;
  } catch {
    return false;
  }
}

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
