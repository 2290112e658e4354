// What a verb is: its help text, its options, and what it does. One file a
// verb; main.ts finds it.
import { parseArgs } from 'node:util';
import { defaultConfigPath } from '../config.ts';
import { usage } from '../errors.ts';
import { print } from '../terminal.ts';

export interface Verb {
  /** Printed for --help, and shown where the use was wrong. */
  readonly help: string;
  /** The first argument names an action, each in a file with a help text of its own. */
  readonly actions?: Actions;
  /** Not for people: in no help, man page or completion. */
  readonly hidden?: true;
  /** What an option may be, where that is a closed list. */
  readonly choices?: Readonly<Record<string, readonly string[]>>;
  /** @returns the exit code */
  run(args: readonly string[]): Promise<number>;
}

export type Actions = Readonly<Record<string, () => Promise<Verb>>>;

type OptionKind = 'text' | 'flag' | 'texts';

interface Parsed {
  readonly positionals: readonly string[];
  readonly configPath: string;
  readonly json: boolean;
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  flag(name: string): boolean;
}

/** Options that every verb has are added here. @throws KleidiError usage */
export function parse(
  args: readonly string[],
  options: Readonly<Record<string, OptionKind>>,
  positionals: { readonly least: number; readonly most: number } = { least: 0, most: 0 },
): Parsed {
  const all = { ...options, config: 'text', json: 'flag' } as const;
  const { values, positionals: found } = parseOrThrow(args, all);
  if (found.length < positionals.least) throw usage('an argument is missing');
  const extra = found[positionals.most];
  if (extra !== undefined) throw usage(`unexpected argument '${extra}'`);
  const list = (name: string): readonly string[] => [values[name] ?? []].flat().map(String);
  return {
    positionals: found,
    configPath: list('config').at(-1) ?? defaultConfigPath,
    json: values['json'] === true,
    text: (name) => list(name).at(-1),
    texts: list,
    flag: (name) => values[name] === true,
  };
}

/** The run of a verb with actions. @throws KleidiError usage */
export async function runAction(actions: Actions, args: readonly string[]): Promise<number> {
  const [name = '', ...rest] = args;
  const load = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (load === undefined) {
    throw usage(name === '' ? `${Object.keys(actions).join(', ')}?` : `unknown action '${name}'`);
  }
  const action = await load();
  if (!rest.includes('--help') && !rest.includes('-h')) return action.run(rest);
  print(action.help);
  return 0;
}

function parseOrThrow(args: readonly string[], options: Readonly<Record<string, OptionKind>>) {
  const described = Object.entries(options).map(([name, kind]) => {
    const type = kind === 'flag' ? ('boolean' as const) : ('string' as const);
    return [name, { type, multiple: kind === 'texts' }] as const;
  });
  try {
    return parseArgs({
      args: [...args],
      options: Object.fromEntries(described),
      allowPositionals: true,
      strict: true,
    });
  } catch (cause) {
    throw usage(
      cause instanceof Error ? (cause.message.split('.')[0] ?? '').toLowerCase() : String(cause),
    );
  }
}
