// kleidi snapshot: finds the action of the verb.
import { type Actions, commandGroup } from './verb.ts';

const actions: Actions = {
  scan: async () => (await import('./snapshot/scan.ts')).snapshotScan,
};

export const snapshot = commandGroup({
  summary: 'what an etcd snapshot is sealed with, and can this ring open it',
  actions,
  example: 'kleidi snapshot scan /var/backups/etcd.db --verify',
});
