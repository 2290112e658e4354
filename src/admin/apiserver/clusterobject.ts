// With kubeadm the same change belongs in the ClusterConfiguration, from which an
// upgrade makes the static pod anew. Where the cluster cannot be asked, people are
// told what to do.

import type { FileChange } from '../../apiserver/change.ts';
import type { ClusterObject } from '../../apiserver/distributions/distribution.ts';
import { configFlag, reloadFlag } from '../../apiserver/flags.ts';
import { readClusterConfiguration, writeClusterConfiguration } from '../../apiserver/kubectl.ts';
import { configurationOf } from '../../apiserver/plan.ts';
import { reasonOf } from '../../errors.ts';
import { note, warn } from '../../terminal.ts';
import type { ApiserverHost } from './host.ts';

/** What became of it, for --json. */
export type ClusterOutcome = 'not-kubeadm' | 'unchanged' | 'changed' | 'by-hand';

/** What is to become of it. */
export type ClusterPlan =
  | { readonly kind: 'not-kubeadm' | 'unchanged' }
  | { readonly kind: 'by-hand'; readonly why: string; readonly todo: string }
  | {
      readonly kind: 'change';
      readonly before: string;
      readonly after: string;
      /** For people, where it cannot be changed after all. */
      readonly todo: string;
    };

/** Its name among the files of the record. */
const clusterConfigurationName = 'configmap kube-system/kubeadm-config';

/** @throws KleidiError refused where it names another EncryptionConfiguration */
export function planClusterEnable(host: ApiserverHost): ClusterPlan {
  return planCluster(host, todoToEnable(host), (object, text) => {
    object.requireOwnFlag(text, host.paths);
    return () => object.enabled(text, host.paths);
  });
}

export function planClusterDisable(host: ApiserverHost): ClusterPlan {
  return planCluster(
    host,
    todoToDisable(host),
    (object, text) => () => textBefore(host, object, text),
  );
}

/**
 * @param edit throws where the whole command must refuse; what it gives back throws where
 *   the text is not one that kleidi can edit
 */
function planCluster(
  host: ApiserverHost,
  todo: string,
  edit: (object: ClusterObject, text: string) => () => string,
): ClusterPlan {
  const object = host.distribution.clusterObject;
  if (object === undefined) return { kind: 'not-kubeadm' };
  const found = readClusterConfiguration(host);
  if ('unreachable' in found) return { kind: 'by-hand', why: found.unreachable, todo };
  const edited = edit(object, found.text);
  try {
    const after = edited();
    if (after === found.text) return { kind: 'unchanged' };
    return { kind: 'change', before: found.text, after, todo };
  } catch (error) {
    return { kind: 'by-hand', why: reasonOf(error), todo };
  }
}

/** As it was; where somebody has changed it since, without what kleidi has added. */
function textBefore(host: ApiserverHost, object: ClusterObject, text: string): string {
  const { record, paths } = host;
  const original = record?.originalOf(clusterConfigurationName, text);
  if (original?.contents !== undefined) return original.contents;
  const isNeeded = configurationOf(host)?.hasOtherKeys ?? false;
  const keep = record?.firstOf(clusterConfigurationName) ?? isNeeded;
  return object.disabled(text, paths, keep);
}

/** For the record, so that disable can give it back as it was. */
export function changesOf(plan: ClusterPlan): FileChange[] {
  if (plan.kind !== 'change') return [];
  const { before, after } = plan;
  return [{ path: clusterConfigurationName, before, after, mode: 0o600 }];
}

/** Never fails the command: what it is for is the next upgrade. */
export function carryOutCluster(host: ApiserverHost, plan: ClusterPlan): ClusterOutcome {
  if (plan.kind === 'by-hand') return byHand(plan.why, plan.todo);
  if (plan.kind !== 'change') return plan.kind;
  const refusal = replace(host, plan.before, plan.after);
  if (refusal !== undefined) return byHand(refusal, plan.todo);
  note('changed the ClusterConfiguration of kubeadm, so that an upgrade makes the same static pod');
  return 'changed';
}

/** Where the files could not be changed after all. */
export function takeBackCluster(host: ApiserverHost, plan: ClusterPlan): void {
  if (plan.kind !== 'change') return;
  const refusal = replace(host, plan.after, plan.before);
  if (refusal !== undefined)
    warn(`the ClusterConfiguration of kubeadm is changed, and could not be put back: ${refusal}`);
}

/** Only what it was a moment ago is replaced. @returns why not */
function replace(host: ApiserverHost, from: string, to: string): string | undefined {
  const found = readClusterConfiguration(host);
  if ('unreachable' in found) return found.unreachable;
  if (found.text !== from) return 'it was changed in the meantime';
  return writeClusterConfiguration(host, to, found.resourceVersion);
}

function byHand(why: string, todo: string): ClusterOutcome {
  warn(
    `the ClusterConfiguration of kubeadm was not changed (${why}): before the next kubeadm upgrade run this command again where kubectl works, or edit it by hand: ${todo}`,
  );
  return 'by-hand';
}

const edit = 'kubectl -n kube-system edit configmap kubeadm-config';

function todoToEnable({ paths: { config } }: ApiserverHost): string {
  return `${edit}, apiServer.extraArgs ${configFlag.slice(2)}: ${config} and ${reloadFlag.slice(2)}: "true", apiServer.extraVolumes as in the static pod`;
}

function todoToDisable({ paths: { config, socket } }: ApiserverHost): string {
  return `${edit}, and take out of apiServer.extraArgs ${configFlag.slice(2)}: ${config} and ${reloadFlag.slice(2)}, and out of apiServer.extraVolumes the folders of ${config} and ${socket}; else that upgrade brings them back`;
}
