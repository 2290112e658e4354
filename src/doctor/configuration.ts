// Doctor's group configuration: the file is valid, and nobody else can change it.
import { type Check, type Finding, failure, modeFinding, ok, statOf } from './check.ts';

export const configuration: Check = {
  group: 'configuration',
  needsConfig: false,

  async run({ configPath, config }) {
    const findings: Finding[] = [];
    try {
      config();
      findings.push(ok(`${configPath} is valid`));
    } catch (error) {
      return [failure(error)];
    }
    const found = statOf(configPath);
    return found === undefined ? findings : [...findings, modeFinding(configPath, found, 0o755)];
  },
};
