// What the actions of `kleidi apiserver` look at: kube-apiserver of this host, what is
// recorded of it, which cluster it is of, and the lock that one command at a time holds.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { recordClusterUid, recordedClusterUid } from '../../apiserver/clusteruid.ts';
import { type Apiserver, requireInstallation } from '../../apiserver/installation.ts';
import { askClusterUid } from '../../apiserver/kubectl.ts';
import { type Phase, phaseSinceUnixMs } from '../../apiserver/phase.ts';
import { ChangeRecord, recordPath } from '../../apiserver/record.ts';
import { type Config, loadConfig } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { withRingLock } from '../../keyring/ringfile.ts';
import { settleMs } from '../../snapshot/proof.ts';
import { note, warn } from '../../terminal.ts';
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

/**
 * Asked of the API server where it is not recorded yet; an operator may say it, but
 * nothing else than the API server does. Never fails because nobody answers.
 * @throws KleidiError refused
 */
export async function noteCluster(host: ApiserverHost, given: string | undefined): Promise<void> {
  const { config } = host;
  const recorded = await recordedClusterUid(config.ring);
  if (recorded !== undefined && (given === undefined || given === recorded)) return;
  const asked = askClusterUid(host);
  const told = 'uid' in asked ? asked.uid : undefined;
  if (given !== undefined && told !== undefined && told !== given) {
    throw new KleidiError('refused', `the API server says that this is cluster ${told}`, {
      hint: `--cluster said ${given}: leave it out`,
    });
  }
  const uid = given ?? told;
  if (uid === undefined) {
    const why = 'unreachable' in asked ? ` (${asked.unreachable})` : '';
    return warn(
      `which cluster this is could not be asked${why}: --scan will want --cluster UID, or this command again where kubectl works`,
    );
  }
  await recordClusterUid(config.ring, uid);
  note(`this host is of cluster ${uid} (UID of kube-system)`);
}
