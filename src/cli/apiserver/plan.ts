// kleidi apiserver plan: what enable would change, and nothing else.

import { planAsJson, showPlan } from '../../admin/apiserver/apply.ts';
import { parsePhase } from '../../admin/apiserver/guards.ts';
import { hostOptions, openApiserverHost } from '../../admin/apiserver/host.ts';
import { planEnable } from '../../apiserver/plan.ts';
import { printJson } from '../../terminal.ts';
import { parse, type Verb } from '../verb.ts';

export const apiserverPlan: Verb = {
  choices: { phase: ['read', 'write', 'only'], distribution: ['kubeadm', 'rke2', 'k3s', 'unit'] },
  help: `usage: kleidi apiserver plan [--phase read|write|only] [--distribution NAME] [--root DIR] [--json]

Shows as a diff what kleidi apiserver enable would change. Changes nothing, and
asks for none of what enable asks for.

  --phase PHASE         default: read
  --distribution NAME   where more than one is found: kubeadm, rke2, k3s, unit
  --root DIR            look at another file system than this host's

example: kleidi apiserver plan --phase write`,

  async run(args) {
    const options = parse(args, { ...hostOptions, phase: 'text' });
    const phase = parsePhase(options.text('phase') ?? 'read');
    const host = await openApiserverHost(options);
    const plan = planEnable(host, phase);
    if (options.json) printJson(planAsJson(plan));
    else showPlan(plan);
    return 0;
  },
};
