// kleidi ring: finds the action of the verb. One file an action: ringNAME.ts.
import { type Actions, runAction, type Verb } from './verb.ts';

const actions: Actions = {
  show: async () => (await import('./ring/show.ts')).ringShow,
  digest: async () => (await import('./ring/digest.ts')).ringDigestOf,
  export: async () => (await import('./ring/export.ts')).ringExport,
  adopt: async () => (await import('./ring/adopt.ts')).ringAdopt,
};

export const ring: Verb = {
  actions,
  help: `usage: kleidi ring ACTION [OPTIONS]

  show     KEKs by fingerprint, their states, the key id
  digest   one line that is equal on two hosts exactly when their rings are
  export   the ring file, for another member
  adopt    take the ring of another member

Each has --help with an example.

example: kleidi ring digest --live`,
  run: (args) => runAction(actions, args),
};
