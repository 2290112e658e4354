// kleidi apiserver: finds the action of the verb. One file an action:
// apiserverNAME.ts.
import { type Actions, commandGroup } from './verb.ts';

const actions: Actions = {
  detect: async () => (await import('./apiserver/detect.ts')).apiserverDetect,
  plan: async () => (await import('./apiserver/plan.ts')).apiserverPlan,
  enable: async () => (await import('./apiserver/enable.ts')).apiserverEnable,
  disable: async () => (await import('./apiserver/disable.ts')).apiserverDisable,
  status: async () => (await import('./apiserver/status.ts')).apiserverStatus,
  config: async () => (await import('./apiserver/config.ts')).apiserverConfig,
};

export const apiserver = commandGroup({
  summary: 'make kube-apiserver use kleidi, phase by phase, and undo it',
  actions,
  example: 'kleidi apiserver plan --phase read',
});
