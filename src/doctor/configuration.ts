// Doctor's group configuration: the file is valid, and nobody else can change it.
import { dirname, join } from 'node:path';
import { type Check, ok } from './check.ts';
import { modeFinding, statOf } from './filemode.ts';

export const configuration: Check = {
  group: 'configuration',
  needs: 'nothing',

  async run({ configPath, config }) {
    config();
    const found = statOf(configPath);
    // Whoever can change this one chooses the recovery key of the next installation.
    const choices = join(dirname(configPath), 'install.conf');
    const chosen = statOf(choices);
    return [
      ok(`${configPath} is valid`),
      found && modeFinding(configPath, found, 0o755),
      chosen && modeFinding(choices, chosen, 0o755),
    ];
  },
};
