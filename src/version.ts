// The version of kleidi: package.json is its only source.
import packageJson from '../package.json' with { type: 'json' };

export const { version } = packageJson;
