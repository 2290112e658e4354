// The unit reaches no device and no other credential unless a drop-in says so: it is asked for
// before a KEK is made that the daemon could not use.
import { readFile } from 'node:fs/promises';
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { parseReference } from '../../host/credentials.ts';
import { showUnit } from '../../host/systemctl.ts';

const unitName = 'kleidi.service';
const dropIn = '/etc/systemd/system/kleidi.service.d/tpm.conf';

/** Where kleidi is no service of this host, it runs with the rights of who starts it. @throws KleidiError refused */
export async function requireTpmDropIn({ tpm }: Config): Promise<void> {
  const reference = parseReference(tpm.pin);
  if (reference.kind === 'file') return;
  const unit = await showUnit(unitName, ['LoadState', 'DropInPaths']);
  if (unit?.['LoadState'] !== 'loaded') return;
  const paths = (unit['DropInPaths'] ?? '').split(' ').filter((path) => path !== '');
  const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8').catch(() => '')));
  const given = new RegExp(`^\\s*LoadCredential(Encrypted)?=${reference.name}:`, 'm');
  if (texts.some((text) => given.test(text))) return;
  throw new KleidiError(
    'refused',
    `${unitName} may not use the TPM, and is not given ${tpm.pin}; nothing was changed`,
    {
      hint: `install -Dm644 /usr/lib/kleidi/drop-ins/tpm.conf ${dropIn} && systemctl daemon-reload; then the same command again, which restarts the daemon`,
    },
  );
}
