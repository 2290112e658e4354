// kleidi key: finds the action of the verb. One file an action: keyNAME.ts.
import { type Actions, commandGroup } from './verb.ts';

const actions: Actions = {
  request: async () => (await import('./key/request.ts')).keyRequest,
  create: async () => (await import('./key/create.ts')).keyCreate,
  import: async () => (await import('./key/import.ts')).keyImport,
  list: async () => (await import('./key/list.ts')).keyList,
  promote: async () => (await import('./key/promote.ts')).keyPromote,
  retire: async () => (await import('./key/retire.ts')).keyRetire,
  destroy: async () => (await import('./key/destroy.ts')).keyDestroy,
};

export const key = commandGroup({
  summary: 'KEKs: request, create, import, list, promote, retire, destroy',
  actions,
  example: 'kleidi key create --recovery recovery.pub=SHA256',
});
