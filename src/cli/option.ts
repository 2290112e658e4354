// What a verb may be given: a table of its options, and rules between them. Parsing,
// help, man page and completion are made from it.

interface Flag {
  readonly kind: 'flag';
  /** What it does, for a person. */
  readonly meaning: string;
  /** Named in the usage line only: every verb that has it means the same by it. */
  readonly isGeneral?: true;
}

interface Valued<K extends 'text' | 'texts' = 'text' | 'texts'> {
  /** `texts` may be given more than once. */
  readonly kind: K;
  /** The word for its value. What it may have behind it is in brackets: `PUB[=SHA256]`. */
  readonly value: string;
  readonly meaning: string;
  /** All that it may be, where that is a closed list. */
  readonly choices?: readonly string[];
  readonly isRequired?: true;
}

export type Option = Flag | Valued;
export type OptionTable = Readonly<Record<string, Option>>;

/** Line breaks in a text of this program count as spaces. */
export function oneLine(prose: string): string {
  return prose.trim().replace(/\s+/g, ' ');
}

export function flag(meaning: string): Flag {
  return { kind: 'flag', meaning: oneLine(meaning) };
}

export function text(value: string, meaning: string, choices?: readonly string[]): Valued<'text'> {
  return { kind: 'text', value, meaning: oneLine(meaning), ...(choices && { choices }) };
}

export function texts(
  value: string,
  meaning: string,
  choices?: readonly string[],
): Valued<'texts'> {
  return { kind: 'texts', value, meaning: oneLine(meaning), ...(choices && { choices }) };
}

export function required<O extends Valued>(option: O): O & { readonly isRequired: true } {
  return { ...option, isRequired: true };
}

/** As `text`, and never left out. */
export function requiredText(value: string, meaning: string, choices?: readonly string[]) {
  return required(text(value, meaning, choices));
}

/** For verbs that print one object for programs. */
export const jsonOption = { ...flag('one JSON object for programs'), isGeneral: true } as const;

/** Every verb has it; one that is about the file lists it. */
export const configOption = text('FILE', 'default /etc/kleidi/kleidi.yaml');

/** Rules between options. Names are those of the table, or of the positional argument. */
export interface Group<N extends string = string> {
  /** `exclusive`: at most one. `together`: all or none. */
  readonly kind: 'exclusive' | 'together';
  readonly names: readonly N[];
  /** Exactly one. */
  readonly isRequired: boolean;
}

export function oneOf<const N extends string>(...names: readonly N[]): Group<N> {
  return { kind: 'exclusive', names, isRequired: true };
}

export function atMostOne<const N extends string>(...names: readonly N[]): Group<N> {
  return { kind: 'exclusive', names, isRequired: false };
}

export function together<const N extends string>(...names: readonly N[]): Group<N> {
  return { kind: 'together', names, isRequired: false };
}

/** Arguments without a name in front. */
export interface Positionals {
  /** The word for one of them, in capitals. */
  readonly name: string;
  readonly least: number;
  readonly most: number;
}

export function one(name: string): Positionals {
  return { name, least: 1, most: 1 };
}

export function several(name: string): Positionals {
  return { name, least: 1, most: Number.MAX_SAFE_INTEGER };
}

/** Everything that decides whether arguments are right. */
export interface Syntax<T extends OptionTable = OptionTable> {
  readonly options: T;
  readonly positionals: Positionals | undefined;
  readonly groups: readonly Group[];
}

/** As it is typed: `--out FILE`. */
export function asTyped(name: string, { options }: Syntax): string {
  const option = Object.hasOwn(options, name) ? options[name] : undefined;
  if (option === undefined) return name;
  return option.kind === 'flag' ? `--${name}` : `--${name} ${option.value}`;
}
