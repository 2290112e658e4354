// A plan as people and scripts read it, and what comes after it.
import { differenceOf } from '../../apiserver/difference.ts';
import { type Phase, phases } from '../../apiserver/phase.ts';
import type { Plan } from '../../apiserver/plan.ts';
import { note, print, printJson } from '../../terminal.ts';

/**
 * What was done.
 * @param outcome fields for --json, after those of the plan
 * @param next for people, where anything was changed
 */
export function report(isJson: boolean, plan: Plan, outcome: object, next: string): void {
  const isChanged = plan.changes.length > 0;
  if (isJson) printJson({ ...planAsJson(plan), changed: isChanged, ...outcome });
  else {
    showPlan(plan);
    if (isChanged) note(next);
  }
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

/** How kube-apiserver of this host takes the change up. */
export function takeUp({ installation, changes }: Plan): string {
  const { restart, flagFile, readsChangesItself } = installation.distribution;
  // A file that is in use already is read again every minute; flags are not, and not by RKE2.
  const isRestarted = !readsChangesItself || changes.some(({ path }) => path === flagFile);
  if (!isRestarted) return 'kube-apiserver reads the file again within two minutes';
  return restart.startsWith('systemctl') ? `to take it up, run: ${restart}` : restart;
}

/** What to do after a change. On the way back to a lower phase nothing comes next. */
export function nextStep(phase: Phase, plan: Plan): string {
  const how = takeUp(plan);
  if (phase === 'only' || isBackwards(plan)) return how;
  return phase === 'read'
    ? `${how}. Next, once every API server is at read: --phase write on each`
    : `${how}. Next, once every API server is at write: kleidi apiserver rewrite on one of them, then --phase only`;
}

function isBackwards({ from, to }: Plan): boolean {
  return from !== undefined && to !== undefined && phases.indexOf(from) > phases.indexOf(to);
}
