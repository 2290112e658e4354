// kleidi vault: finds the action of the verb.
import { type Actions, runAction, type Verb } from './verb.ts';

const actions: Actions = {
  policy: async () => (await import('./vault/policy.ts')).vaultPolicy,
  record: async () => (await import('./vault/record.ts')).vaultRecord,
};

export const vault: Verb = {
  actions,
  help: `usage: kleidi vault ACTION [OPTIONS]

  policy   the least policy for Vault or OpenBao
  record   a known text under each KEK in Vault, so that another key is noticed

Each has --help with an example.

example: kleidi vault policy | vault policy write kleidi -`,

  run: (args) => runAction(actions, args),
};
