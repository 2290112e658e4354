// kleidi ring: finds the action of the verb. One file an action: ringNAME.ts.
import { type Actions, commandGroup } from './verb.ts';

const actions: Actions = {
  show: async () => (await import('./ring/show.ts')).ringShow,
  digest: async () => (await import('./ring/digest.ts')).ringDigestOf,
  export: async () => (await import('./ring/export.ts')).ringExport,
  adopt: async () => (await import('./ring/adopt.ts')).ringAdopt,
};

export const ring = commandGroup({
  summary: 'show, digest to compare hosts by, export, adopt',
  actions,
  example: 'kleidi ring digest --live',
});
