// kleidi version: kleidi, Node, OpenSSL, and the PKCS#11 module in use.
import { existsSync } from 'node:fs';
import { loadConfig } from '../config.ts';
import { firstModule } from '../softhsm.ts';
import { print, printJson } from '../terminal.ts';
import { version as kleidi } from '../version.ts';
import { jsonOption } from './option.ts';
import { command } from './verb.ts';

export const version = command({
  summary: 'kleidi, Node, OpenSSL, module',
  options: { json: jsonOption },
  example: 'kleidi version',
  async run({ configPath, json }) {
    const module = moduleIn(configPath);
    const { node, openssl } = process.versions;
    if (json) printJson({ kleidi, node, openssl, module });
    else print(`kleidi ${kleidi}\nnode ${node}\nopenssl ${openssl}\nmodule ${module}`);
    return 0;
  },
});

/** The version must be told on a host that is not configured yet, too. */
function moduleIn(configPath: string): string {
  const path = existsSync(configPath) ? loadConfig(configPath).pkcs11.module : firstModule();
  return existsSync(path) ? path : `${path} (not installed)`;
}
