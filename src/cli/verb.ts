// What a verb is: a command with a table of its options, or a group of commands. One
// file a command; main.ts finds it.
import { type Group, type OptionTable, oneLine, type Positionals, type Syntax } from './option.ts';
import { type Parsed, parse } from './parse.ts';

/** Text, or terms with what each means. */
export type Paragraph = string | Readonly<Record<string, string>>;

export interface Command extends Syntax {
  readonly kind: 'command';
  /** One line, for the list that it is found in. */
  readonly summary: string;
  /** What it does, before its options are listed. */
  readonly notes: readonly Paragraph[];
  /** After them. */
  readonly remarks: readonly Paragraph[];
  readonly example: string;
  /** Whether it changes this host: then the journal has an entry of each call. */
  readonly changes: boolean;
  /** @throws KleidiError usage */
  prepare(args: readonly string[]): Call;
}

/** A command with arguments that are right. */
interface Call {
  readonly configPath: string;
  /** @returns the exit code @throws KleidiError what the command throws */
  run(): Promise<number>;
}

/** The first argument names one of them. */
export interface CommandGroup {
  readonly kind: 'group';
  readonly summary: string;
  readonly actions: Actions;
  /** What holds for all of them. */
  readonly note: string;
  readonly example: string;
}

/** Not for people: in no help, man page or completion. */
export interface Internal {
  readonly kind: 'internal';
  readonly note: string;
  run(): Promise<number>;
}

type Verb = Command | CommandGroup | Internal;
export type Verbs = Readonly<Record<string, () => Promise<Verb>>>;
type Actions = Readonly<Record<string, () => Promise<Command>>>;

interface CommandParts<T extends OptionTable> {
  readonly summary: string;
  readonly changes?: true;
  readonly notes?: readonly Paragraph[];
  readonly options: T;
  readonly positionals?: Positionals;
  /** Of options that exclude or need each other. */
  readonly groups?: readonly Group<Extract<keyof NoInfer<T>, string> | Uppercase<string>>[];
  readonly remarks?: readonly Paragraph[];
  readonly example: string;
  run(options: Parsed<T>): Promise<number>;
}

export function command<const T extends OptionTable>(parts: CommandParts<T>): Command {
  const { options, positionals, groups = [], notes = [], remarks = [] } = parts;
  const { summary, example, changes = false } = parts;
  const syntax = { options, positionals, groups };
  return {
    kind: 'command',
    ...{ summary, example, changes, ...syntax },
    notes: notes.map(tidied),
    remarks: remarks.map(tidied),
    prepare: (args) => {
      const parsed = parse(args, syntax);
      return { configPath: parsed.configPath, run: () => parts.run(parsed) };
    },
  };
}

function tidied(paragraph: Paragraph): Paragraph {
  return typeof paragraph === 'string' ? oneLine(paragraph) : paragraph;
}

type GroupParts = Omit<CommandGroup, 'kind' | 'note'> & { readonly note?: string };

export function commandGroup(parts: GroupParts): CommandGroup {
  return { kind: 'group', note: '', ...parts };
}
