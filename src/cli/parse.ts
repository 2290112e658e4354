// Arguments by the table of the verb: what is wrong is named before anything is done.
import { parseArgs } from 'node:util';
import { defaultConfigPath } from '../config.ts';
import { type KleidiError, reasonOf, usage } from '../errors.ts';
import { asTyped, configOption, type OptionTable, type Syntax } from './option.ts';

type Matching<T extends OptionTable, Shape> = {
  [N in keyof T]: T[N] extends Shape ? N : never;
}[keyof T];

/** What was given; a name that the table lacks does not compile. */
export interface Parsed<T extends OptionTable = OptionTable> {
  readonly positionals: readonly string[];
  readonly configPath: string;
  readonly json: boolean;
  /** Of several the last. */
  readonly text: (name: Matching<T, { kind: 'text' }>) => string | undefined;
  /** One that parsing has refused to be without. */
  readonly given: (name: Matching<T, { kind: 'text'; isRequired: true }>) => string;
  readonly texts: (name: Matching<T, { kind: 'texts' }>) => readonly string[];
  readonly flag: (name: Matching<T, { kind: 'flag' }>) => boolean;
}

type Values = ReadonlyMap<string, readonly string[]>;

/** @throws KleidiError usage */
export function parse<T extends OptionTable>(
  args: readonly string[],
  syntax: Syntax<T>,
): Parsed<T> {
  const { values, positionals } = read(args, syntax);
  requirePositionals(positionals, syntax);
  requireOptions(values, syntax);
  requireGroups(values, positionals.length > 0, syntax);
  requireChoices(values, syntax);
  const list = (name: keyof T): readonly string[] => values.get(String(name)) ?? [];
  return {
    positionals,
    configPath: values.get('config')?.at(-1) ?? defaultConfigPath,
    json: values.has('json'),
    text: (name) => list(name).at(-1),
    given: (name) => list(name).at(-1) ?? '',
    texts: list,
    flag: (name) => values.has(String(name)),
  };
}

function read(
  args: readonly string[],
  syntax: Syntax,
): { readonly values: Values; readonly positionals: readonly string[] } {
  const described = Object.entries(withConfig(syntax).options).map(([name, { kind }]) => {
    const type = kind === 'flag' ? ('boolean' as const) : ('string' as const);
    return [name, { type, multiple: kind === 'texts' }] as const;
  });
  try {
    const found = parseArgs({
      args: [...args],
      options: Object.fromEntries(described),
      allowPositionals: true,
      strict: true,
    });
    const values = Object.entries(found.values).map(
      ([name, value]) => [name, [value ?? []].flat().map(String)] as const,
    );
    return { values: new Map(values), positionals: found.positionals };
  } catch (cause) {
    throw translated(cause, syntax);
  }
}

/** What Node says of it, with the word of the table for a value that is missing. */
function translated(cause: unknown, syntax: Syntax): KleidiError {
  const [said = ''] = reasonOf(cause).split(/\.\s/);
  const lacking = /^Option '--([a-z-]+)(?: <value>)?' argument (?:missing|is ambiguous)/.exec(said);
  const [, name] = lacking ?? [];
  if (name !== undefined) return usage(`missing value: ${asTyped(name, withConfig(syntax))}`);
  // Shown where it reads like the name of an option: it may be a PIN that begins with a dash.
  if (said.startsWith('Unknown option') && !/'--?[A-Za-z][a-z-]*'$/.test(said))
    return usage('unknown option; it is not shown: it has what no name of an option has');
  return usage(`${said.charAt(0).toLowerCase()}${said.slice(1)}`);
}

function withConfig(syntax: Syntax): Syntax {
  return { ...syntax, options: { config: configOption, ...syntax.options } };
}

function requirePositionals(found: readonly string[], { positionals }: Syntax): void {
  const { name = '', least = 0, most = 0 } = positionals ?? {};
  if (found.length < least) throw usage(`missing argument: ${name}`);
  if (found.length <= most) return;
  // Not shown: it may be a PIN that somebody has typed where none is taken.
  const taken = name === '' ? 'no argument' : `${most} ${name}`;
  throw usage(`too many arguments: it takes ${taken}, given are ${found.length}`);
}

function requireOptions(values: Values, syntax: Syntax): void {
  const lacking = Object.entries(syntax.options)
    .filter(([name, option]) => option.kind !== 'flag' && option.isRequired && !values.has(name))
    .map(([name]) => asTyped(name, syntax));
  if (lacking.length === 0) return;
  throw usage(`missing option${lacking.length > 1 ? 's' : ''}: ${lacking.join(', ')}`);
}

function requireGroups(values: Values, hasPositional: boolean, syntax: Syntax): void {
  const isGiven = (name: string): boolean =>
    name === syntax.positionals?.name ? hasPositional : values.has(name);
  for (const { kind, names, isRequired } of syntax.groups) {
    const given = names.filter(isGiven);
    const typed = names.map((name) => asTyped(name, syntax));
    if (kind === 'together' && given.length > 0 && given.length < names.length) {
      throw usage(`${typed.join(' and ')} come together`);
    }
    if (kind === 'exclusive' && given.length > 1) throw usage(`only one of ${typed.join(', ')}`);
    if (isRequired && given.length === 0) throw usage(`missing: one of ${typed.join(', ')}`);
  }
}

function requireChoices(values: Values, { options }: Syntax): void {
  for (const [name, option] of Object.entries(options)) {
    if (option.kind === 'flag' || option.choices === undefined) continue;
    const { choices } = option;
    const strange = values.get(name)?.find((each) => !choices.includes(each));
    if (strange === undefined) continue;
    throw usage(`'${strange}' is no ${option.value}: --${name} takes one of ${choices.join(', ')}`);
  }
}
