// kleidi apiserver: finds the action of the verb. One file an action:
// apiserverNAME.ts.
import { type Actions, runAction, type Verb } from './verb.ts';

const actions: Actions = {
  detect: async () => (await import('./apiserver/detect.ts')).apiserverDetect,
  plan: async () => (await import('./apiserver/plan.ts')).apiserverPlan,
  enable: async () => (await import('./apiserver/enable.ts')).apiserverEnable,
  disable: async () => (await import('./apiserver/disable.ts')).apiserverDisable,
  status: async () => (await import('./apiserver/status.ts')).apiserverStatus,
  config: async () => (await import('./apiserver/config.ts')).apiserverConfig,
};

export const apiserver: Verb = {
  actions,
  help: `usage: kleidi apiserver ACTION [OPTIONS]

  detect    how kube-apiserver is run on this host
  plan      what enable would change, as a diff; changes nothing
  enable    make kube-apiserver use kleidi: --phase read, then write, then only
  disable   back to how it was, once nothing is sealed any more
  status    where kleidi stands on this host
  config    the EncryptionConfiguration alone; no API server is told of it

Each has --help with an example.

example: kleidi apiserver plan --phase read`,
  run: (args) => runAction(actions, args),
};
