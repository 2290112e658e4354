// Carries a plan out, files and the object in the cluster together.
import { carryOut, type FileChange, requireWritable } from '../../apiserver/change.ts';
import {
  forgetPhaseTime,
  type Phase,
  phaseSinceUnixMs,
  recordPhaseTime,
} from '../../apiserver/phase.ts';
import type { Plan } from '../../apiserver/plan.ts';
import { ChangeRecord, removeRecord } from '../../apiserver/record.ts';
import {
  type ClusterOutcome,
  type ClusterPlan,
  carryOutCluster,
  changesOf,
  takeBackCluster,
} from './clusterobject.ts';
import type { ApiserverHost } from './host.ts';

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

/** Since when this host is at a phase is what a later --scan is compared with. */
export async function changeTo(
  host: ApiserverHost,
  phase: Phase,
  { changes }: Plan,
  cluster: ClusterPlan,
): Promise<ClusterOutcome> {
  if (changes.length > 0) await forgetPhaseTime(host.recordPath);
  const outcome = await changeAll(host, changes, cluster);
  const isKnown = (await phaseSinceUnixMs(host.recordPath, phase)) !== undefined;
  if (!isKnown) await recordPhaseTime(host.recordPath, phase);
  return outcome;
}

/** That kleidi is out of it: nothing of what was there before is left to put back. */
export async function recordDisabled({ recordPath }: ApiserverHost): Promise<void> {
  await removeRecord(recordPath);
  await recordPhaseTime(recordPath, 'off');
}
