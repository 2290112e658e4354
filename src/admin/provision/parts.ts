// All that provision has made on a host, and what its later life has put beside it: what a
// replacement moves aside.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../../config.ts';
import { parseReference, pendingPath, secretPaths } from '../../host/credentials.ts';
import { hostKeyPaths, hostKeyState } from '../../host/hostkey.ts';
import { changeTimesPath } from '../../keyring/changetimes.ts';
import { pinPartPath } from '../../keyring/pinpart.ts';
import { namedTokenFolder } from '../../softhsm.ts';
import { bundleFolder } from '../keys/bundlefolder.ts';
import { createRecordPath } from '../keys/createrecord.ts';
import type { ReplaceCase } from './replacement.ts';

interface Parts {
  readonly files: readonly string[];
  /** Of systemd: with them a PIN opens, so they stay apart from it. */
  readonly hostKeys: readonly string[];
  /** Its contents; the folder itself stays. */
  readonly tokens: string;
}

/** Paths, whether there is anything or not. */
export async function provisionedParts(config: Config, which: ReplaceCase): Promise<Parts> {
  const { ring, pkcs11 } = config;
  return {
    files: [
      ring,
      bundleFolder(config),
      ...withPending([pinPartPath(ring)]),
      createRecordPath(config),
      // What this host has announced stays known where it comes back to the same ring.
      ...(which === 'lost-token' ? [] : [changeTimesPath(ring)]),
      ...withPending([...secretPaths(pkcs11.pin), ...secretPaths(pkcs11.soPin)]),
    ],
    hostKeys: which === 'copied-disk' ? await foreignHostKeys(pkcs11) : [],
    tokens: tokenFolder(config),
  };
}

/** What a change of the PIN has left that was killed. */
function withPending(paths: readonly string[]): readonly string[] {
  return paths.flatMap((path) => [path, pendingPath(path)]);
}

/** systemd would delete it at its first look, and nothing of this host opens with it. */
async function foreignHostKeys({ pin, soPin }: Config['pkcs11']): Promise<readonly string[]> {
  const isSealed = [pin, soPin].some((each) => parseReference(each).kind === 'credential');
  if (!isSealed) return [];
  const [paths, state] = [hostKeyPaths(), await hostKeyState()];
  if (state.kind === 'foreign') return [paths.key, paths.copy];
  return state.kind === 'missing' && state.copy === 'foreign' ? [paths.copy] : [];
}

/** As provision makes it, where no settings name another. */
function tokenFolder({ ring, pkcs11: { softhsmConf } }: Config): string {
  const named = existsSync(softhsmConf) ? namedTokenFolder(softhsmConf) : '';
  return named === '' ? join(dirname(ring), 'tokens') : named;
}
