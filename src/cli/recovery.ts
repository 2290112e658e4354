// kleidi recovery: finds the action of the verb. One file an action:
// recoveryNAME.ts. All work on a machine that is offline, has no token, and
// needs no configuration.
import { type Actions, runAction, type Verb } from './verb.ts';

const actions: Actions = {
  create: async () => (await import('./recovery/create.ts')).recoveryCreate,
  test: async () => (await import('./recovery/test.ts')).recoveryTest,
  pin: async () => (await import('./recovery/pin.ts')).recoveryPin,
  rewrap: async () => (await import('./recovery/rewrap.ts')).recoveryRewrap,
  replace: async () => (await import('./recovery/replace.ts')).recoveryReplace,
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
