// kleidi apiserver config: the EncryptionConfiguration alone, for an installation:
// the file is there when it is needed, and no API server is told of it.

import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { findInstallations } from '../../apiserver/installation.ts';
import { newConfiguration } from '../../apiserver/kmsprovider.ts';
import { type Config, loadConfig } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { writeNewFile } from '../../files.ts';
import { note, print } from '../../terminal.ts';
import { flag } from '../option.ts';
import { command } from '../verb.ts';

export const apiserverConfig = command({
  changes: true,
  summary: 'the EncryptionConfiguration alone; no API server uses it',
  notes: [`Prints an EncryptionConfiguration in phase read for this host's socket.`],
  options: {
    write:
      flag(`write it where encryptionConfig in kleidi.yaml says, mode 0600, unless a file is there
      already. No API server uses it yet: kleidi apiserver enable does that.`),
  },
  example: 'kleidi apiserver config --write',
  async run({ flag, configPath }) {
    const config = loadConfig(configPath);
    if (flag('write')) await writeApiserverConfig(config);
    else print(textFor(config).trimEnd());
    return 0;
  },
});

function textFor({ socket }: Config): string {
  return newConfiguration('read', socket, [{ identity: {} }]);
}

/** Where there is none. @throws KleidiError file-failed */
export async function writeApiserverConfig(config: Config): Promise<void> {
  // With RKE2 and k3s the file must carry their own key: enable makes it.
  if (findInstallations('/').some(({ distribution }) => distribution.ownKeys !== undefined)) {
    note('kleidi apiserver enable --phase read makes the EncryptionConfiguration here');
    return;
  }
  await writeOnce(config.encryptionConfig, textFor(config));
}

async function writeOnce(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  try {
    await writeNewFile(path, text, 0o600);
    note(`wrote ${path}; no API server uses it yet: kleidi apiserver plan`);
  } catch (error) {
    if (!(error instanceof KleidiError && error.code === 'already-exists')) throw error;
    note(`${path} is there already, unchanged`);
  }
}
