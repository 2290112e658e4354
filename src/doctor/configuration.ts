// Doctor's group configuration: the file is valid, and nobody else can change it.
import { type Check, failure, ok } from './check.ts';
import { modeFinding, statOf } from './filemode.ts';

export const configuration: Check = {
  group: 'configuration',
  needsConfig: false,

  async run({ configPath, config }) {
    try {
      config();
    } catch (error) {
      return failure(error);
    }
    const found = statOf(configPath);
    return [ok(`${configPath} is valid`), found && modeFinding(configPath, found, 0o755)];
  },
};
