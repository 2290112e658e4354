// kleidi key: finds the action of the verb. One file an action: keyNAME.ts.
import { type Actions, runAction, type Verb } from './verb.ts';

const actions: Actions = {
  request: async () => (await import('./key/request.ts')).keyRequest,
  create: async () => (await import('./key/create.ts')).keyCreate,
  import: async () => (await import('./key/import.ts')).keyImport,
  list: async () => (await import('./key/list.ts')).keyList,
  promote: async () => (await import('./key/promote.ts')).keyPromote,
  retire: async () => (await import('./key/retire.ts')).keyRetire,
  destroy: async () => (await import('./key/destroy.ts')).keyDestroy,
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
