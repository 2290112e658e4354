// kleidi key: finds the action of the verb. One file an action: keyNAME.ts.
import { print } from './terminal.ts';
import { usage, type Verb } from './verb.ts';

const actions: Readonly<Record<string, () => Promise<Verb>>> = {
  create: async () => (await import('./keycreate.ts')).keyCreate,
  list: async () => (await import('./keylist.ts')).keyList,
};

export const key: Verb = {
  actions: true,
  help: `usage: kleidi key ACTION [OPTIONS]

  create   a new KEK, kept in the token of this host as staged
  list     every KEK of ring and token, with its attributes

Each has --help with an example.

example: kleidi key create --recovery recovery.pub`,

  async run(args) {
    const [name = '', ...rest] = args;
    const load = actions[name];
    if (load === undefined) {
      throw usage(name === '' ? `${Object.keys(actions).join(', ')}?` : `unknown action '${name}'`);
    }
    const action = await load();
    if (!rest.includes('--help') && !rest.includes('-h')) return action.run(rest);
    print(action.help);
    return 0;
  },
};
