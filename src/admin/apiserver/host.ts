// What the actions of `kleidi apiserver` look at: kube-apiserver of this host, what is
// recorded of it, and the lock that one command at a time holds.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Apiserver, requireInstallation } from '../../apiserver/installation.ts';
import type { Phase } from '../../apiserver/phase.ts';
import { phaseSinceUnixMs } from '../../apiserver/phasetime.ts';
import { ChangeRecord, recordPath } from '../../apiserver/record.ts';
import { type Config, loadConfig } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { withRingLock } from '../../keyring/ringfile.ts';
import { settleMs } from '../../snapshot/proof.ts';
import type { ScanSubject } from './scanproof.ts';

export interface ApiserverHost extends Apiserver {
  readonly config: Config;
  readonly record: ChangeRecord | undefined;
  readonly recordPath: string;
}

interface Options {
  readonly configPath: string;
  readonly text: (name: 'root' | 'distribution') => string | undefined;
}

/** @throws KleidiError refused, config-invalid, file-failed */
export async function openApiserverHost(options: Options): Promise<ApiserverHost> {
  const config = loadConfig(options.configPath);
  const root = options.text('root') ?? '/';
  const installation = requireInstallation(root, options.text('distribution'));
  const path = recordPath(config.ring);
  const paths = { socket: config.socket, config: config.encryptionConfig };
  return {
    ...installation,
    config,
    paths,
    recordPath: path,
    record: await ChangeRecord.read(path),
  };
}

/** One command at a time, from what it reads to what it writes. */
export async function withApiserverLock<T>(configPath: string, work: () => Promise<T>): Promise<T> {
  const path = recordPath(loadConfig(configPath).ring);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new KleidiError('file-failed', `${dirname(path)} cannot be made`, {
      hint: 'run it as root; nothing was changed',
      cause,
    });
  });
  return withRingLock(path, work);
}

/** A snapshot must be younger than the phase that this host is at. */
export function scanSubject(host: ApiserverHost, phase: Phase): ScanSubject {
  return {
    ringPath: host.config.ring,
    installations: [host],
    async change() {
      const since = await phaseSinceUnixMs(host.recordPath, phase);
      return {
        what: `this host is at phase ${phase}`,
        unixMs: since === undefined ? undefined : since + settleMs,
        howToRecord: `kleidi apiserver enable --phase ${phase} records it as of now: then take a new snapshot`,
      };
    },
  };
}
