// The drop-in of kleidi.service for a systemd older than 250, which ignores
// LoadCredentialEncrypted=: it names the plain credential instead.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomically } from '../../files.ts';
import { note } from '../../terminal.ts';

const path = '/etc/systemd/system/kleidi.service.d/10-plain-credential.conf';

export function hasPlainCredentialDropIn(): boolean {
  return existsSync(path);
}

/** Safe to repeat. The unit has it from its next start on. */
export async function writePlainCredentialDropIn(credential: string): Promise<void> {
  const text = `# Written by kleidi provision: this systemd could not encrypt the credential.
# After an upgrade to systemd 250 or newer, encrypt it and delete this file:
#   systemd-creds encrypt --with-key=host --name=pin ${credential} ${credential}.cred
[Service]
LoadCredentialEncrypted=
LoadCredential=pin:${credential}
`;
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeFileAtomically(path, text, 0o644);
  spawnSync('systemctl', ['daemon-reload'], { stdio: 'ignore' });
  note(`wrote ${path}`);
}
