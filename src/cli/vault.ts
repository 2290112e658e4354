// kleidi vault: finds the action of the verb.
import { type Actions, commandGroup } from './verb.ts';

const actions: Actions = {
  policy: async () => (await import('./vault/policy.ts')).vaultPolicy,
  record: async () => (await import('./vault/record.ts')).vaultRecord,
};

export const vault = commandGroup({
  summary: 'the least policy for Vault; texts to know its KEKs again by',
  actions,
  example: 'kleidi vault policy | vault policy write kleidi -',
});
