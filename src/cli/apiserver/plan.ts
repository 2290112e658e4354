// kleidi apiserver plan: what enable would change, and nothing else.

import { parsePhase } from '../../admin/apiserver/guards.ts';
import { openApiserverHost } from '../../admin/apiserver/host.ts';
import { planAsJson, showPlan, takeUp } from '../../admin/apiserver/report.ts';
import { phases } from '../../apiserver/phase.ts';
import { planEnable } from '../../apiserver/plan.ts';
import { note, printJson } from '../../terminal.ts';
import { jsonOption, text } from '../option.ts';
import { hostOptions } from '../sharedoptions.ts';
import { command } from '../verb.ts';

export const apiserverPlan = command({
  summary: 'what enable would change, as a diff; changes nothing',
  notes: [
    `Shows as a diff what kleidi apiserver enable would change. Changes nothing, and asks for
    none of what enable asks for.`,
  ],
  options: {
    phase: text('PHASE', 'to go to (default read)', phases),
    ...hostOptions,
    json: jsonOption,
  },
  example: 'kleidi apiserver plan --phase write',
  async run(options) {
    const phase = parsePhase(options.text('phase') ?? 'read');
    const host = await openApiserverHost(options);
    const plan = planEnable(host, phase);
    if (options.json) printJson(planAsJson(plan));
    else {
      showPlan(plan);
      if (plan.changes.length > 0) note(`after enable, ${takeUp(plan)}`);
    }
    return 0;
  },
});
