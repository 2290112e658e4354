// kleidi recovery: finds the action of the verb. One file an action:
// recoveryNAME.ts. All work on a machine that is offline, has no token, and
// needs no configuration.
import { type Actions, commandGroup } from './verb.ts';

const actions: Actions = {
  create: async () => (await import('./recovery/create.ts')).recoveryCreate,
  test: async () => (await import('./recovery/test.ts')).recoveryTest,
  pin: async () => (await import('./recovery/pin.ts')).recoveryPin,
  rewrap: async () => (await import('./recovery/rewrap.ts')).recoveryRewrap,
  replace: async () => (await import('./recovery/replace.ts')).recoveryReplace,
};

export const recovery = commandGroup({
  summary: 'the offline recovery key: create, test, pin, rewrap, replace',
  actions,
  note: 'None needs a token or a configuration.',
  example: 'kleidi recovery create --out recovery',
});
