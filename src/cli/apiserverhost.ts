// What the actions of `kleidi apiserver` share: the host that they look at, how a
// plan is shown, and how it is carried out.
import { carryOut } from '../apiserver/change.ts';
import { differenceOf } from '../apiserver/difference.ts';
import type { Paths } from '../apiserver/flags.ts';
import { type Installation, requireInstallation } from '../apiserver/installation.ts';
import type { FileChange, Plan } from '../apiserver/plan.ts';
import { ChangeRecord, recordPath } from '../apiserver/record.ts';
import { type Config, loadConfig } from '../config.ts';
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

/** The originals are on disk before the first file is changed. */
export async function changeFiles(
  host: ApiserverHost,
  changes: readonly FileChange[],
): Promise<void> {
  if (changes.length === 0) return;
  await ChangeRecord.write(host.recordPath, host.record, changes);
  await carryOut(host.root, changes);
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
