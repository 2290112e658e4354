// kleidi snapshot: finds the action of the verb.
import { type Actions, runAction, type Verb } from './verb.ts';

const actions: Actions = {
  scan: async () => (await import('./snapshot/scan.ts')).snapshotScan,
};

export const snapshot: Verb = {
  actions,
  help: `usage: kleidi snapshot ACTION [OPTIONS]

  scan   what an etcd snapshot is sealed with, and whether this ring can open it

It has --help with an example.

example: kleidi snapshot scan /var/backups/etcd.db --verify`,

  run: (args) => runAction(actions, args),
};
