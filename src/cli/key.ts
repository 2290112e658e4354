// kleidi key: finds the action of the verb. One file an action: keyNAME.ts.
import { type Actions, runAction, type Verb } from './verb.ts';

const actions: Actions = {
  create: async () => (await import('./keycreate.ts')).keyCreate,
  list: async () => (await import('./keylist.ts')).keyList,
  promote: async () => (await import('./keypromote.ts')).keyPromote,
  retire: async () => (await import('./keyretire.ts')).keyRetire,
  destroy: async () => (await import('./keydestroy.ts')).keyDestroy,
};

export const key: Verb = {
  actions,
  help: `usage: kleidi key ACTION [OPTIONS]

  create   a new KEK, kept in the token of this host as staged
  list     every KEK of ring and token, with its attributes
  promote  write with this KEK from now on, under a new generation
  retire   refuse this KEK from now on, or no longer (--undo)
  destroy  remove a retired KEK from ring and token

Each has --help with an example.

example: kleidi key create --recovery recovery.pub`,

  run: (args) => runAction(actions, args),
};
