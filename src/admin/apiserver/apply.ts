// Carries a plan out, files and ClusterConfiguration together, and shows it to people.
import { carryOut, type FileChange, requireWritable } from '../../apiserver/change.ts';
import { differenceOf } from '../../apiserver/difference.ts';
import type { Plan } from '../../apiserver/plan.ts';
import { ChangeRecord } from '../../apiserver/record.ts';
import { note, print } from '../../terminal.ts';
import type { ApiserverHost } from './host.ts';
import {
  type ClusterOutcome,
  type ClusterPlan,
  carryOutCluster,
  changesOf,
  takeBackCluster,
} from './kubeadm.ts';

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

export function showPlan({ changes, installation }: Plan): void {
  if (changes.length === 0) note('nothing to change');
  for (const change of changes) print(differenceOf(change));
  if (changes.length > 0) note(`found ${installation.distribution.name}: ${installation.evidence}`);
}

export function planAsJson({ installation, from, to, changes }: Plan): object {
  return {
    distribution: installation.distribution.name,
    evidence: installation.evidence,
    from: from ?? null,
    to: to ?? null,
    restart: installation.distribution.restart,
    changes: changes.map((change) => ({ path: change.path, diff: differenceOf(change) })),
  };
}
