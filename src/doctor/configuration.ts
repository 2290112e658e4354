// Doctor's group configuration: the file is valid, and nobody else can change it.
import { type Check, ok } from './check.ts';
import { modeFinding, statOf } from './filemode.ts';

export const configuration: Check = {
  group: 'configuration',
  needs: 'nothing',

  async run({ configPath, config }) {
    config();
    const found = statOf(configPath);
    return [ok(`${configPath} is valid`), found && modeFinding(configPath, found, 0o755)];
  },
};
