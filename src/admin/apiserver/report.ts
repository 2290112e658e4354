// A plan as people and scripts read it, and what comes after it.
import { differenceOf } from '../../apiserver/difference.ts';
import type { Phase } from '../../apiserver/phase.ts';
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

/** A file that is in use already is read again every minute; flags are not, and not by RKE2. */
export function nextStep(phase: Phase, { installation, changes }: Plan): string {
  const { restart, flagFile, readsChangesItself } = installation.distribution;
  const isRestarted = !readsChangesItself || changes.some(({ path }) => path === flagFile);
  const how = isRestarted ? restart : 'kube-apiserver reads the file again within two minutes';
  switch (phase) {
    case 'read':
      return `${how}. Next, once every API server is at read: --phase write on each`;
    case 'write':
      return `${how}. Next, once every API server is at write: rewrite all Secrets, then --phase only`;
    case 'only':
      return how;
  }
}
