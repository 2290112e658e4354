// The token of `kleidi provision`: PINs, SoftHSM's settings and folder, and the token
// itself. What exists is never replaced.
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../../config.ts';
import { writeNewFile } from '../../files.ts';
import { readSecret } from '../../host/credentials.ts';
import { daemonReader } from '../../providers/pkcs11/tokenfolder.ts';
import { isSoftHsm, namedTokenFolder, softHsmSettings } from '../../softhsm.ts';
import { note } from '../../terminal.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { ensurePin } from './pins.ts';

/** PINs first: a token whose PIN nobody knows would be lost at once. */
export async function makeToken(config: Config): Promise<void> {
  const { module, softhsmConf, pin, soPin } = config.pkcs11;
  if (isSoftHsm(module)) await makeSoftHsmFolder(softhsmConf, join(dirname(config.ring), 'tokens'));
  await ensurePin(pin, daemonReader(softhsmConf), config.pkcs11);
  await ensurePin(soPin, undefined, config.pkcs11);
  await new TokenCommand(config).initialize(await readSecret(soPin, process.env));
  note(`token '${config.pkcs11.token}' is ready`);
}

async function makeSoftHsmFolder(softhsmConf: string, tokens: string): Promise<void> {
  if (!existsSync(softhsmConf)) {
    await mkdir(dirname(softhsmConf), { recursive: true, mode: 0o755 });
    await writeNewFile(softhsmConf, softHsmSettings(tokens), 0o644);
  }
  const folder = namedTokenFolder(softhsmConf);
  if (folder !== '') await mkdir(folder, { recursive: true, mode: 0o700 });
}
