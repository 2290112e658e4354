// kleidi key: finds the action of the verb. One file an action: keyNAME.ts.
import { type Actions, runAction, type Verb } from './verb.ts';

const actions: Actions = {
  request: async () => (await import('./keyrequest.ts')).keyRequest,
  create: async () => (await import('./keycreate.ts')).keyCreate,
  import: async () => (await import('./keyimport.ts')).keyImport,
  list: async () => (await import('./keylist.ts')).keyList,
  promote: async () => (await import('./keypromote.ts')).keyPromote,
  retire: async () => (await import('./keyretire.ts')).keyRetire,
  destroy: async () => (await import('./keydestroy.ts')).keyDestroy,
};

export const key: Verb = {
  actions,
  help: `usage: kleidi key ACTION [OPTIONS]

  request  this host's one-shot transport key, to be given KEKs by
  create   a new KEK, kept in the token of this host as staged
  import   KEKs that another host or the recovery key has wrapped for this one
  list     every KEK of ring and token, with its attributes
  promote  write with this KEK from now on, under a new generation
  retire   refuse this KEK from now on, or no longer (--undo)
  destroy  remove a retired KEK from ring and token

Each has --help with an example.

example: kleidi key create --recovery recovery.pub=SHA256`,

  run: (args) => runAction(actions, args),
};
