// kleidi recovery: finds the action of the verb. One file an action:
// recoveryNAME.ts. All work on a machine that is offline, has no token, and
// needs no configuration.
import { type Actions, runAction, type Verb } from './verb.ts';

const actions: Actions = {
  create: async () => (await import('./recoverycreate.ts')).recoveryCreate,
  test: async () => (await import('./recoverytest.ts')).recoveryTest,
  pin: async () => (await import('./recoverypin.ts')).recoveryPin,
  rewrap: async () => (await import('./recoveryrewrap.ts')).recoveryRewrap,
  replace: async () => (await import('./recoveryreplace.ts')).recoveryReplace,
};

export const recovery: Verb = {
  actions,
  help: `usage: kleidi recovery ACTION [OPTIONS]

  create   the recovery key: a private file that stays offline, and a public one
  test     proves that the recovery key opens the KEKs of a bundle
  pin      the PIN of a host that has lost its host key
  rewrap   wraps the KEKs of bundles for a new host
  replace  wraps them for another recovery key

Each has --help with an example. None needs a token or a configuration.

example: kleidi recovery create --out recovery`,
  run: (args) => runAction(actions, args),
};
