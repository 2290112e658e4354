// What the actions of `kleidi apiserver` share: the host that they look at, how a
// plan is shown, and how it is carried out.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { carryOut, requireWritable } from '../apiserver/change.ts';
import { differenceOf } from '../apiserver/difference.ts';
import type { Phase } from '../apiserver/encryptionconfig.ts';
import type { Paths } from '../apiserver/flags.ts';
import { type Installation, requireInstallation } from '../apiserver/installation.ts';
import { phaseSinceUnixMs } from '../apiserver/phasetime.ts';
import type { FileChange, Plan } from '../apiserver/plan.ts';
import { ChangeRecord, recordPath } from '../apiserver/record.ts';
import { type Config, loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { withRingLock } from '../keyring/ringfile.ts';
import { settleMs } from '../snapshot/proof.ts';
import {
  type ClusterOutcome,
  type ClusterPlan,
  carryOutCluster,
  changesOf,
  takeBackCluster,
} from './apiserverkubeadm.ts';
import type { ScanSubject } from './scanproof.ts';
import { note, print } from './terminal.ts';

export interface ApiserverHost {
  readonly config: Config;
  /** Where its file system begins: `/`, but in tests. */
  readonly root: string;
  readonly installation: Installation;
  readonly paths: Paths;
  readonly record: ChangeRecord | undefined;
  readonly recordPath: string;
}

export const hostOptions = { root: 'text', distribution: 'text' } as const;

interface Options {
  readonly configPath: string;
  text(name: string): string | undefined;
}

/** @throws KleidiError refused, config-invalid, file-failed */
export async function openApiserverHost(options: Options): Promise<ApiserverHost> {
  const config = loadConfig(options.configPath);
  const root = options.text('root') ?? '/';
  const installation = requireInstallation(root, options.text('distribution'));
  const path = recordPath(config.ring);
  const paths = { socket: config.socket, config: config.encryptionConfig };
  return {
    config,
    root,
    installation,
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

/**
 * The originals are on disk before the first thing is changed, and what makes
 * kube-apiserver restart comes last.
 */
export async function changeAll(
  host: ApiserverHost,
  changes: readonly FileChange[],
  cluster: ClusterPlan,
): Promise<ClusterOutcome> {
  const all = [...changes, ...changesOf(cluster)];
  if (all.length > 0) {
    requireWritable(host.root, changes);
    await ChangeRecord.write(host.recordPath, host.record, all);
  }
  const outcome = carryOutCluster(host, cluster);
  try {
    await carryOut(host.root, changes);
  } catch (error) {
    if (outcome === 'changed') takeBackCluster(host, cluster);
    throw error;
  }
  return outcome;
}

/** A snapshot must be younger than the phase that this host is at. */
export function scanSubject(host: ApiserverHost, phase: Phase): ScanSubject {
  return {
    ringPath: host.config.ring,
    root: host.root,
    installations: [host.installation],
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

export function showPlan({ changes, installation }: Plan): void {
  if (changes.length === 0) note('nothing to change');
  for (const change of changes) print(differenceOf(change));
  if (changes.length > 0) note(`found ${installation.kind}: ${installation.evidence}`);
}

export function planAsJson({ installation, from, to, changes }: Plan): object {
  return {
    distribution: installation.kind,
    evidence: installation.evidence,
    from: from ?? null,
    to: to ?? null,
    restart: installation.restart,
    changes: changes.map((change) => ({ path: change.path, diff: differenceOf(change) })),
  };
}
