// Doctor's group configuration: the file is valid, and nobody else can change it.
import { type Check, failure, modeFinding, ok, statOf } from './check.ts';

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
